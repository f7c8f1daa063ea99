"""All commands: one file each, and one word here. A file's command is the class of its name: `Fit` in `fit.py`."""

from importlib import import_module

from mot_lightning.commands.base import Command, Invocation, Option

NAMES = (
    "fit",
    "validate",
    "test",
    "generate",
    "ledger",
)
COMMANDS: dict[str, Command] = {
    name: getattr(import_module(f"mot_lightning.commands.{name}"), name.capitalize())() for name in NAMES
}

__all__ = ["COMMANDS", "Command", "Invocation", "Option"]
