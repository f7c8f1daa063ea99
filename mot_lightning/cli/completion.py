"""Shell completion of commands, options and settings, by shtab."""

import argparse
import inspect
from collections.abc import Iterator
from typing import Any

import shtab

from mot_lightning.cli.settings_help import settings_parser
from mot_lightning.commands import COMMANDS
from mot_lightning.config.classes import find_class
from mot_lightning.errors import ConfigError
from mot_lightning.experiment.resolve import resolve


def completion(shell: str) -> str:
    """A script that completes `mot-lightning`: in bash, eval "$(mot-lightning --print_completion=bash)".

    Raises:
        ConfigError: shtab does not support the shell.
    """
    if shell not in shtab.SUPPORTED_SHELLS:
        raise ConfigError(f"--print_completion is {shell!r}, wanted {', '.join(shtab.SUPPORTED_SHELLS)}")
    settings = {*_settings_of_classes(resolve([], []))} | {
        action.dest for action in settings_parser()._actions if "." in action.dest or not action.nargs
    }
    parser = argparse.ArgumentParser(prog="mot-lightning")
    commands = parser.add_subparsers()
    for name, command in COMMANDS.items():
        below = commands.add_parser(name, help=command.summary, allow_abbrev=False)
        below.add_argument("--ckpt_path").complete = shtab.FILE  # type: ignore[attr-defined]
        below.add_argument("--help-all", action="store_true")
        options = ["allow", *(option.name for option in command.options)]
        if command.takes_settings:
            below.add_argument("--config").complete = shtab.FILE  # type: ignore[attr-defined]
            below.add_argument("--print_config", action="store_true")
            options += sorted(settings - {"help", "config", *options})
        for option in options:
            below.add_argument(f"--{option}")
    return shtab.complete(parser, shell)


def _settings_of_classes(config: Any, path: str = "") -> Iterator[str]:
    """The dotted names of the classes in a resolved config, and of their arguments."""
    if not isinstance(config, dict):
        return
    if "class_path" in config:
        yield path
        yield from (f"{path}.{name}" for name in inspect.signature(find_class(config["class_path"])).parameters)
        return
    for key, value in config.items():
        yield from _settings_of_classes(value, f"{path}.{key}".strip("."))
