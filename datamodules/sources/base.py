"""The interface of a source: records by index. Knows files and formats; no codec, no model and no split."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from mot_lightning.config.checked import Checked
from mot_lightning.errors import BadMedia


class Member(NamedTuple):
    """A file inside another one."""

    name: str  # in messages
    read: Callable[[], bytes]  # raises ValueError if it cannot be read


class Waveform(NamedTuple):
    """A sound that is in memory."""

    samples: Tensor  # (channels, n) from -1 to 1
    sample_rate: int


class Encoded(NamedTuple):
    """A medium that a codec has encoded already."""

    tokens: Tensor  # ids (n,) or latents (n, latent_dim)
    media_bytes: int  # of the medium, 0 if it is not measured in bytes
    weight: float = 1.0  # of its loss


# by the names of columns: texts, numbers, paths of files, files inside others, images of Pillow,
# sounds in memory, or lists of them
Record = Mapping[str, Any]


class Source(Checked, ABC):
    """Records by index, always in the same order. Nothing is read before `setup`."""

    skips_bad = False  # whether a wrong name of a file shows only when it is read, so that it can be skipped

    @abstractmethod
    def setup(self) -> None:
        """Read what is needed to count the records; called again, it does nothing.

        Raises:
            ValueError: a file is missing or cannot be read.
        """

    @abstractmethod
    def __len__(self) -> int:
        """The number of records."""

    @abstractmethod
    def record(self, index: int) -> Record:
        """One record; its files are named, not read."""

    def values(self, column: str) -> Iterable[Any]:
        """The value of a column in each record; None where a record has no such column."""
        return (self.record(index).get(column) for index in range(len(self)))

    def instead(self, name: str, error: BadMedia) -> Member:
        """In place of a file that cannot be read: raises the error, or if bad ones are skipped, reading it does."""
        if not self.skips_bad:
            raise error
        return Member(name, partial(_refuse, str(error), error.reason))


def _refuse(message: str, reason: str) -> bytes:
    raise BadMedia(message, reason)


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
