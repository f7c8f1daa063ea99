"""What `--help-all` shows: every setting with its type and default, those of the classes that a config may name too."""

import argparse
import inspect
from importlib import import_module
from typing import Any

from jsonargparse import ArgumentParser
from lightning.pytorch.cli import LightningArgumentParser

from mot_lightning.lightning_cli import MoTCLI, start

CLASSES = {
    "datamodules": "data",
    "mot_lightning.codecs": "model.modalities.NAME.codec",
    "mot_lightning.objectives": "model.modalities.NAME.objective",
}


class HelpCLI(MoTCLI):
    """Prints what there is to set, in place of reading it."""

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        parser.print_help()
        for home, place in CLASSES.items():
            module = import_module(home)
            for name in module.__all__:
                if not inspect.isabstract(kind := getattr(module, name)):
                    print(f"\n--{place}={name}")
                    print_class(kind, place)
        raise SystemExit(0)


def print_class(kind: type, place: str) -> None:
    """What may be set of a class, where a config names it."""
    parser = ArgumentParser(usage=argparse.SUPPRESS, add_help=False)
    parser.add_class_arguments(kind, place)
    for action in parser._actions:
        if action.dest == place:  # jsonargparse would read a file there
            action.help = argparse.SUPPRESS
    parser.print_help()


def print_every_setting() -> None:
    start(HelpCLI, {})
