"""Paths as they enter: options, settings, environment variables and prompts are all read by `absolute`."""

import contextlib
import os
from pathlib import Path

from mot_lightning.errors import ConfigError


def absolute(path: str | Path, name: str, folder: Path = Path()) -> Path:
    """A path with its ~ expanded and from the root, so that it is the same file wherever it is used.

    Args:
        name: of the option or setting, in the error message.
        folder: what a relative path starts from.

    Raises:
        ConfigError: it is empty, begins with ~ and a name that no user has, or cannot be looked up.
    """
    if "://" in str(path):  # on another machine
        return Path(path)
    if not str(path):
        raise ConfigError(f"{name} is '', wanted a path")
    try:
        complete = Path(os.path.abspath(folder / Path(path).expanduser()))  # noqa: PTH100 (keeps symbolic links)
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            complete.stat()
    except RuntimeError:
        raise ConfigError(f"{name} is {str(path)!r}, wanted a path: no user has this home folder") from None
    except OSError as error:  # no permission to enter its folder, a name that is too long, links in a circle
        raise ConfigError(f"{name} is {str(path)[:200]!r}, wanted a path that can be used: {error.strerror}") from None
    except ValueError:
        raise ConfigError(f"{name} is {str(path)!r}, wanted a path without a null character") from None
    return complete


def check_folder(path: Path, name: str) -> None:
    """Raises ConfigError if no folder can be written at a path: before the work whose results go there."""
    place = next(place for place in (path, *path.absolute().parents) if place.exists())
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        reason = "a file" if not place.is_dir() else "read-only"
        raise ConfigError(f"{name} is {path}, wanted a folder to write to: {place} is {reason}")


def absolute_or_name(path: str | Path, name: str) -> str:
    """As `absolute` for what may also be a name on a hub: that is all that is neither there nor written as a path."""
    written_as_path = str(path).startswith(("~", "/", "./", "../")) or str(path) in ("", ".", "..")
    return str(absolute(path, name)) if written_as_path or _exists(path) else str(path)


def _exists(path: str | Path) -> bool:
    try:
        return Path(path).exists()
    except (OSError, ValueError):  # too long, or with a null character: the hub has no such name either
        return False
