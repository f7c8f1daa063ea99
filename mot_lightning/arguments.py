"""A command line, split into its parts but not understood."""

from dataclasses import dataclass, field
from pathlib import Path

from mot_lightning.config import ConfigError, did_you_mean
from mot_lightning.help import COMMANDS


@dataclass
class Arguments:
    """A command line, split but not understood."""

    command: str
    configs: list[Path] = field(default_factory=list)
    allow: list[str] = field(default_factory=list)
    flags: set[str] = field(default_factory=set)
    settings: list[tuple[str, str]] = field(default_factory=list)

    def pop(self, name: str) -> list[str]:
        """All values given to an option, which is then no longer a setting."""
        values = [value for key, value in self.settings if key == name]
        self.settings = [(key, value) for key, value in self.settings if key != name]
        return values


def split_arguments(argv: list[str]) -> Arguments:
    """Split a command line.

    Raises:
        ConfigError: no such command, or an option without a value.
    """
    command, *rest = argv
    if command not in COMMANDS:
        raise ConfigError(
            f"there is no command {command!r}{did_you_mean(command, COMMANDS)}; wanted one of {', '.join(COMMANDS)}"
        )
    arguments = Arguments(command)
    words = iter(rest)
    for word in words:
        if word in ("-h", "--help", "--help-all", "--print_config"):
            arguments.flags.add(word)
            continue
        if not word.startswith("--"):
            raise ConfigError(f"{word!r} is not an option, wanted --name=value")
        name, equals, value = word[2:].partition("=")
        if not equals:
            following = next(words, None)
            if following is None or following.startswith("--"):
                raise ConfigError(f"--{name} has no value")
            value = following
        if name == "config":
            arguments.configs.append(Path(value))
        elif name == "allow":
            arguments.allow.append(value)
        else:
            arguments.settings.append((name, value))
    return arguments
