"""All commands. Each has a file and an entry in `NAMES`; `fit.py` defines the class `Fit`, and so on."""

from importlib import import_module

from mot_lightning.commands.base import Command, Invocation, Option

NAMES = (
    "fit",
    "validate",
    "test",
    "generate",
    "ledger",
    "inspect",
    "encode",
    "compare",
    "suite",
    "evaluate",
    "export",
)
COMMANDS: dict[str, Command] = {
    name: getattr(import_module(f"mot_lightning.commands.{name}"), name.capitalize())() for name in NAMES
}

__all__ = ["COMMANDS", "Command", "Invocation", "Option"]
