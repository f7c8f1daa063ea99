"""Names of files in the data of others: none leads out of its folder."""

from functools import lru_cache
from pathlib import Path

from mot_lightning.errors import BadMedia


def inside(folder: Path, name: str, source: str) -> Path:
    """The path of a file that a source names.

    Args:
        folder: that the file has to be in.
        source: which names it, in messages.

    Raises:
        ValueError: the name leads out of the folder, by `..`, from the root, or by a symbolic link.
    """
    path = folder / name
    try:
        end = path.resolve() if path.is_symlink() else _resolved(path.parent)
        if end.is_relative_to(_resolved(folder)) and "\0" not in name:
            return path
    except (OSError, RuntimeError, ValueError):  # too long, links in a circle, a NUL
        pass
    raise BadMedia(f"{source} names {name!r}, wanted a file in {folder}", "outside")


@lru_cache(maxsize=1024)
def _resolved(folder: Path) -> Path:
    return folder.resolve()
