"""What `--help-all` and `--KEY.help` show: settings with types and defaults, and those of classes."""

import argparse
import inspect
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from jsonargparse import ArgumentParser
from lightning.pytorch.cli import LightningArgumentParser

from mot_lightning.config.classes import find_class
from mot_lightning.config.files import read_default
from mot_lightning.config.hints import did_you_mean_setting
from mot_lightning.config.instantiate import importing_only
from mot_lightning.errors import ConfigError
from mot_lightning.experiment.build import MoTCLI, start

CLASSES = {
    "datamodules": "data",
    "mot_lightning.codecs": "model.modalities.NAME.codec",
    "mot_lightning.objectives": "model.modalities.NAME.objective",
}


class ParserOnly(MoTCLI):
    """Raises with the parser instead of parsing and building."""

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        raise _Parser(parser)


class _Parser(Exception):
    def __init__(self, parser: LightningArgumentParser) -> None:
        super().__init__()
        self.parser = parser


def settings_parser() -> LightningArgumentParser:
    """The parser of all settings, without the classes that a config names."""
    try:
        with importing_only():
            start(ParserOnly, {})
    except _Parser as caught:
        return caught.parser
    raise AssertionError("LightningCLI did not call parse_arguments")


def print_every_setting() -> None:
    """Print all settings."""
    settings_parser().print_help()
    for package, key in CLASSES.items():
        module = import_module(package)
        for name in module.__all__:
            if not inspect.isabstract(kind := getattr(module, name)):
                print(f"\n--{key}={name}")
                print_class(kind, key)


def print_settings(name: str, class_name: str, allow: Sequence[str] = ()) -> None:
    """Print the settings of a dotted name: of the given class, else of its default class or its group.

    Raises:
        ConfigError: there is no such setting, or no such class.
    """
    config: Any = read_default()
    for key in name.split("."):
        config = config.get(key) if isinstance(config, dict) else None
    if isinstance(config, dict) and "class_path" in config:
        config = config["class_path"]
    if class_name or isinstance(config, str):
        kind = find_class(class_name or str(config), allow)
        print(f"--{name}={kind.__name__}")
        print_class(kind, name)
        return
    parser = settings_parser()
    if not any(action.dest == name or action.dest.startswith(f"{name}.") for action in parser._actions):
        hint = did_you_mean_setting(name, [action.dest for action in parser._actions])
        raise ConfigError(f"there is no setting {name!r}{hint}")
    for action in parser._actions:
        if action.dest != name and not action.dest.startswith(f"{name}."):
            action.help = argparse.SUPPRESS
    parser._action_groups = [group for group in parser._action_groups if group.title != "Linked arguments"]
    for group in parser._action_groups:
        if all(action.help == argparse.SUPPRESS for action in group._group_actions):
            group.title = group.description = None
    parser.usage, parser.description = argparse.SUPPRESS, None
    parser.print_help()


def print_class(kind: type, key: str) -> None:
    """Print the settings of a class under a dotted key."""
    parser = ArgumentParser(usage=argparse.SUPPRESS, add_help=False)
    parser.add_class_arguments(kind, key)
    for action in parser._actions:
        if action.dest == key:  # jsonargparse would read a file there
            action.help = argparse.SUPPRESS
    parser.print_help()
