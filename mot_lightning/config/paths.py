"""Paths as they enter: options, settings, environment variables and prompts are all read by `absolute`."""

import os
from pathlib import Path

from mot_lightning.errors import ConfigError


def absolute(path: str | Path, name: str, folder: Path = Path()) -> Path:
    """A path with its ~ expanded and from the root, so that it is the same file wherever it is used.

    Args:
        name: of the option or setting, in the error message.
        folder: what a relative path starts from.

    Raises:
        ConfigError: it is empty, or begins with ~ and a name that no user has.
    """
    if "://" in str(path):  # on another machine
        return Path(path)
    if not str(path):
        raise ConfigError(f"{name} is '', wanted a path")
    try:
        return Path(os.path.abspath(folder / Path(path).expanduser()))  # noqa: PTH100 (keeps symbolic links)
    except RuntimeError:
        raise ConfigError(f"{name} is {str(path)!r}, wanted a path: no user has this home folder") from None


def absolute_or_name(path: str | Path, name: str) -> str:
    """As `absolute` for what may also be a name on a hub: that is all that is neither there nor written as a path."""
    written_as_path = str(path).startswith(("~", "/", "./", "../")) or str(path) in ("", ".", "..")
    return str(absolute(path, name)) if written_as_path or Path(path).exists() else str(path)
