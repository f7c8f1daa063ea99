"""The interface of a column: from a record's values to media, and the codec arguments that follow from it."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from datamodules.sources import Record
from mot_lightning.config.recorded import Recorded

Transform = Callable[[Any], Any]


class Column(Recorded, ABC):
    """The media of a modality in a column of the records.

    Args:
        column: its name; a cell may be a list of media.
        transforms: applied to a decoded medium in turn, in training only; of a tuple, such as (sound, length), the
            first is taken. They use PyTorch's global generator, which is seeded by the document.
        weight: a column with the weight of each medium's loss: a number for all, or as many as there are media. 0 makes
            a medium context, 2 counts as two records would; empty is 1. Null: all are 1.
    """

    def __init__(self, column: str, transforms: Sequence[Transform] = (), weight: str | None = None) -> None:
        self.column, self.transforms, self.weight = column, list(transforms), weight

    @classmethod
    def codec_settings(cls, **settings: Any) -> dict[str, Any]:
        """Arguments of the modality's codec that follow from the arguments of the column."""
        return {}

    def values(self, record: Record) -> Sequence[Any]:
        """What a record has of this modality, undecoded; empty if it has nothing."""
        value = record.get(self.column)
        return [] if value is None else list(value) if isinstance(value, list) else [value]

    def weights(self, record: Record, count: int) -> list[float]:
        """The weights of the losses of a record's media.

        Args:
            count: of these media.

        Raises:
            ValueError: the record has no such column, other numbers of weights, or one below 0, infinite or NaN.
        """
        if self.weight is None:
            return [1.0] * count
        if self.weight not in record:
            raise ValueError(f"the records have no column {self.weight!r}, wanted one of {', '.join(map(str, record))}")
        cell = record[self.weight]
        cells = cell if isinstance(cell, list) else [cell] * count
        try:
            weights = [1.0 if one is None or one == "" else float(one) for one in cells]
        except (TypeError, ValueError):
            weights = []
        if len(weights) != count or not all(0 <= one < math.inf for one in weights):
            numbers = "a number" if count == 1 else f"a number or {count} of them"
            raise ValueError(f"column {self.weight!r} holds {str(cell)[:40]!r}, wanted {numbers} from 0")
        return weights

    @abstractmethod
    def decode(self, value: Any) -> Any:
        """The medium of a value, in the form that codecs take.

        Raises:
            ValueError: it is not one.
        """

    def transform(self, media: Any) -> Any:
        """A medium after all transforms."""
        for one in self.transforms:
            transformed = one(media)
            media = transformed[0] if isinstance(transformed, tuple) else transformed
        return media
