"""All commands: one file each, and one line here."""

from mot_lightning.commands.base import Command, Invocation, Option
from mot_lightning.commands.fit import Fit
from mot_lightning.commands.generate import Generate
from mot_lightning.commands.ledger import Ledger
from mot_lightning.commands.test import Test
from mot_lightning.commands.validate import Validate

COMMANDS: dict[str, Command] = {
    command.name: command
    for command in (
        Fit(),
        Validate(),
        Test(),
        Generate(),
        Ledger(),
    )
}

__all__ = ["COMMANDS", "Command", "Invocation", "Option"]
