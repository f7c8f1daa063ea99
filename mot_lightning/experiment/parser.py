"""LightningCLI's parser, which raises a one-line error instead of printing its usage and exiting."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from lightning.pytorch.cli import LightningArgumentParser

from mot_lightning.config.classes import argument_names, class_names, find_class
from mot_lightning.config.hints import did_you_mean, did_you_mean_setting
from mot_lightning.config.messages import shorten
from mot_lightning.errors import ConfigError


class Parser(LightningArgumentParser):
    def add_class_arguments(self, *args: Any, **kwargs: Any) -> Any:
        """Settings of a class; a value that is the path of a file is not replaced by what the file contains."""
        return super().add_class_arguments(*args, **{**kwargs, "sub_configs": False})

    def error(self, message: str, ex: Exception | None = None) -> Any:
        """Raise a one-line error; jsonargparse's message lists all that it tried."""
        message = " ".join(str(message).split())
        keys = re.findall(r'Parser key "([^"]+)"', message)
        nested = re.search(r"there is no setting '[^']+'(, did you mean [\w.]+\?)?", message)  # from a nested parser
        if nested:
            raise ConfigError(f"{'.'.join(keys)}: {nested[0]}")
        unknown = re.search(
            r"[Gg]roup '(?P<group>\w+)' does not accept option '(?P<a>[^']+)'|Option '(?P<b>[^']+)'", message
        )
        if unknown:
            name = ".".join([*keys, *filter(None, unknown.group("group", "a", "b"))])
            part = name.rpartition(".")[0]
            hint = did_you_mean_setting(name, self._setting_names())
            raise ConfigError(f"there is no setting {name!r}{hint or (part and f': see --{part}.help')}")
        raise ConfigError(shorten(message))

    def _setting_names(self) -> set[str]:
        """The names of all settings."""
        paths = (action.dest.split(".") for action in self._actions)
        dotted = {".".join(path[:n]) for path in paths for n in range(1, len(path) + 1)}
        for name in class_names():
            dotted |= argument_names(find_class(name))
        return dotted


def check_groups(config: Mapping[str, Any], settings: Sequence[str], path: str = "") -> None:
    """Raises ConfigError if a top-level key is unknown, or a group of settings is not a mapping.

    Args:
        settings: the dotted names of all settings.
    """
    parents = {name.removeprefix(path).partition(".")[0]: "." in name.removeprefix(path) for name in settings}
    for key, value in config.items():
        if key not in parents and not path:
            hint = did_you_mean(key, parents) or did_you_mean_setting(key, settings)
            raise ConfigError(f"there is no setting {key!r}{hint}")
        if parents.get(key):
            if not isinstance(value, Mapping):
                raise ConfigError(f"{path}{key} is {value!r}, wanted a mapping of settings")
            below = [name for name in settings if name.startswith(f"{path}{key}.")]
            check_groups(value, below, f"{path}{key}.")
