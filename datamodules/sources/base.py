"""The interface of a source: records by index.

Knows files and formats, and codecs only where what they learned comes with the records; no model.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from mot_lightning.codecs import Codec
from mot_lightning.config.checked import Checked
from mot_lightning.errors import BadMedia


class Member(NamedTuple):
    """A file inside another one."""

    name: str  # in messages
    read: Callable[[], bytes]  # raises ValueError if it cannot be read


class Spread(NamedTuple):
    """How the training records of a stream are shuffled, and shared among processes."""

    seed: int
    ranks: int
    workers: int  # of each rank, at least 1
    batch_size: int


class Waveform(NamedTuple):
    """A sound that is in memory."""

    samples: Tensor  # (channels, n) from -1 to 1
    sample_rate: int


class Encoded(NamedTuple):
    """A medium that a codec has encoded already."""

    array: np.ndarray  # ids (n,) or latents (n, latent_dim); mapped memory is read when it is copied
    media_bytes: int  # of the medium, 0 if it is not measured in bytes
    weight: float = 1.0  # of its loss

    @property
    def tokens(self) -> Tensor:
        """A copy, in the type that codecs give."""
        return torch.from_numpy(self.array.astype(np.int64 if self.array.ndim == 1 else np.float32))


# by the names of columns: texts, numbers, paths of files, files inside others, images of Pillow,
# sounds in memory, or lists of them
Record = Mapping[str, Any]


class Source(Checked, ABC):
    """Records by index, always in the same order. Nothing is read before `setup`."""

    encoded = False  # whether its media are tokens already, in columns named by their modalities
    streamed = False  # whether training reads `streamed_record`, and the other records are only the first ones
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

    def streamed_record(self, number: int, spread: Spread) -> Record:
        """The record that is trained on after `number` others, over all ranks."""
        raise TypeError(f"data.source is {type(self).__name__}, wanted one that streams")

    def values(self, column: str) -> Iterable[Any]:
        """The value of a column in each record; None where a record has no such column."""
        return (self.record(index).get(column) for index in range(len(self)))

    def placed(self, recipe: Mapping[str, Any]) -> tuple[Iterable[Any], Iterable[int]] | None:
        """The split of each record, and where it is in the split's order; None leaves both to the recipe.

        Args:
            recipe: arguments of `Records`.

        Raises:
            ValueError: the records were made by another recipe.
        """
        return None

    def load_codecs(self, codecs: Mapping[str, Codec], fitted: Collection[str]) -> set[str]:
        """Load what codecs learned, if it comes with the source; those that are `fitted` are only compared.

        Returns:
            The names of those that are loaded.

        Raises:
            ValueError: a codec is not that of the source.
        """
        return set()

    def instead(self, name: str, error: BadMedia) -> Member:
        """In place of a file that cannot be read: raises the error, or if bad ones are skipped, reading it does."""
        if not self.skips_bad:
            raise error
        return Member(name, partial(_refuse, str(error), error.reason))


def _refuse(message: str, reason: str) -> bytes:
    raise BadMedia(message, reason)
