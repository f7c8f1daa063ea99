"""The interface of a column: from a record's values to media, and the codec arguments that follow from it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

from datamodules.sources import Record
from mot_lightning.config.recorded import Recorded

Transform = Callable[[Any], Any]


class Column(Recorded, ABC):
    """The media of a modality in a column of the records.

    Args:
        column: its name; a cell may be a list of media.
        transforms: applied to a decoded medium in turn, in training only; they use PyTorch's global generator, which
            is seeded by the document.
    """

    def __init__(self, column: str, transforms: Sequence[Transform] = ()) -> None:
        self.column, self.transforms = column, list(transforms)

    @classmethod
    def codec_settings(cls, **settings: Any) -> dict[str, Any]:
        """Arguments of the modality's codec that follow from the arguments of the column."""
        return {}

    def values(self, record: Record) -> Sequence[Any]:
        """What a record has of this modality, undecoded; empty if it has nothing."""
        value = record.get(self.column)
        return [] if value is None else list(value) if isinstance(value, list) else [value]

    @abstractmethod
    def decode(self, value: Any) -> Any:
        """The medium of a value, in the form that codecs take.

        Raises:
            ValueError: it is not one.
        """

    def transform(self, media: Any) -> Any:
        """A medium after all transforms."""
        return reduce(lambda transformed, one: one(transformed), self.transforms, media)
