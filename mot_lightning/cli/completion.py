"""Shell completion of commands, options and settings, by shtab."""

import argparse

import shtab

from mot_lightning.cli.settings_help import settings_parser
from mot_lightning.commands import COMMANDS
from mot_lightning.errors import ConfigError


def completion(shell: str) -> str:
    """A script that completes `mot_lightning`: in bash, eval "$(mot_lightning --print_completion=bash)".

    Raises:
        ConfigError: shtab does not support the shell.
    """
    if shell not in shtab.SUPPORTED_SHELLS:
        raise ConfigError(f"--print_completion is {shell!r}, wanted {', '.join(shtab.SUPPORTED_SHELLS)}")
    settings = {action.dest for action in settings_parser()._actions if "." in action.dest or not action.nargs}
    parser = argparse.ArgumentParser(prog="mot_lightning")
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
