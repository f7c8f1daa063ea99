"""Splits a command line into the command's options and the experiment's settings, which stay text."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from mot_lightning.commands import COMMANDS, Command, Invocation, Option
from mot_lightning.config.files import parse_value
from mot_lightning.config.hints import did_you_mean
from mot_lightning.config.paths import absolute
from mot_lightning.errors import ConfigError
from mot_lightning.runs.find import find_checkpoint

SHARED = ("config", "allow", "ckpt_path", "print_config")


class OptionParser(argparse.ArgumentParser):
    """Raises where argparse prints its usage and exits."""

    def error(self, message: str) -> NoReturn:
        argument, _, reason = message.removeprefix("argument ").partition(": ")
        if "ignored explicit argument" in reason:  # a flag
            raise ConfigError(f"{argument} is {reason.split(maxsplit=3)[-1]}, wanted no value")
        raise ConfigError(f"{argument} has no value" if "expected one argument" in reason else reason or message)


def find_command(name: str) -> Command:
    """Raises ConfigError if there is no such command."""
    if name not in COMMANDS:
        raise ConfigError(
            f"there is no command {name!r}, wanted one of {', '.join(COMMANDS)}{did_you_mean(name, COMMANDS)}"
        )
    return COMMANDS[name]


def parse(command: Command, argv: Sequence[str]) -> Invocation:
    """Split what follows the command's name.

    Raises:
        ConfigError: an option without a value, a value of the wrong type, or a required checkpoint is missing.
    """
    parser = OptionParser(prog=command.name, add_help=False, allow_abbrev=False)
    parser.set_defaults(config=[], allow=[], ckpt_path=None, print_config=False)
    if command.builds:
        parser.add_argument("--config", type=Path, action="append")
        parser.add_argument("--allow", action="append")
        parser.add_argument("--ckpt_path", type=_path("--ckpt_path"))
        parser.add_argument("--print_config", action="store_true")
    for option in command.options:
        if ".NAME" in option.name or "=" in option.name:  # one for each modality, or any: it stays a setting
            continue
        convert = _converter(option)
        if option.type is bool:
            parser.add_argument(f"--{option.name}", action="store_true")
        elif option.repeated:
            parser.add_argument(f"--{option.name}", type=convert, action="append", default=[])
        else:
            parser.add_argument(f"--{option.name}", type=convert, default=option.default)
    known, rest = parser.parse_known_args(argv)
    for package in known.allow:
        if not all(part.isidentifier() for part in package.split(".")):
            raise ConfigError(f"--allow is {package!r}, wanted the name of a package")
    if known.ckpt_path is None and command.needs_checkpoint:
        raise ConfigError(f"{command.name} needs --ckpt_path, a checkpoint to read model, codecs and data from")
    if known.ckpt_path is not None:
        known.ckpt_path = find_checkpoint(known.ckpt_path)
    options = {name: value for name, value in vars(known).items() if name not in SHARED}
    settings, words = _settings(rest)
    if settings and not (command.builds or command.takes_settings):
        names = [f"--{option.name}" for option in command.options]
        close = did_you_mean(f"--{settings[0][0]}", names)
        raise ConfigError(
            f"--{settings[0][0]} is no option of {command.name}, wanted some of {', '.join(names)}{close}"
        )
    if words and not command.paths:
        raise ConfigError(f"{words[0]!r} is not an option, wanted --name=value")
    paths = [Path(word).expanduser() for word in words]
    line = [command.name, *argv]
    return Invocation(known.config, settings, known.allow, known.ckpt_path, options, known.print_config, paths, line)


def _converter(option: Option) -> Any:
    """A function from an option's text to its type; its error names both."""

    def convert(text: str) -> Any:
        if option.type is str:
            return text
        if option.type is Path:
            return _path(f"--{option.name}")(text)
        value = parse_value(text)
        accepted = (int, float) if option.type is float else option.type
        if isinstance(value, bool) or not isinstance(value, accepted):
            kind = "a whole number" if option.type is int else "a number"
            raise argparse.ArgumentTypeError(f"--{option.name} is {text!r}, wanted {kind}")
        return value

    return convert


def _path(name: str) -> Callable[[str], Path]:
    """A function from an option's text to a path; argparse shows only its own kind of error."""

    def convert(text: str) -> Path:
        try:
            return absolute(text, name)
        except ConfigError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return convert


def _settings(words: Sequence[str]) -> tuple[list[tuple[str, str]], list[str]]:
    """(name, value) of each `--name=value` or `--name value`, and the words beside them."""
    settings, others = [], []
    remaining = iter(words)
    for word in remaining:
        if not word.startswith("--"):
            others.append(word)
            continue
        name, equals, value = word[2:].partition("=")
        if not equals and not name.endswith(".help"):
            following = next(remaining, None)
            if following is None or following.startswith("--"):
                raise ConfigError(f"--{name} has no value")
            value = following
        elif not value and not name.endswith(".help"):
            raise ConfigError(f"--{name} has no value, wanted one, or null")
        settings.append((name, value))
    return settings, others
