"""Arrays of numbers: from lists in a table, or from files."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from datamodules.columns.base import Column, Transform
from datamodules.sources import Record
from datamodules.sources.base import Member
from mot_lightning.media import Array


class ArrayColumn(Column):
    """Arrays (n, c), such as a robot's actions: lists of numbers, JSON, or .npy files.

    A list of n lists of c numbers is one array, as is a list of n numbers if c is 1; a list of either is several.

    Args:
        column: its name.
        shape: n and c; n is null if it varies.
        transforms: applied to a tensor (n, c) in training.
        weight: as in `Column`.
    """

    def __init__(
        self,
        column: str = "array",
        shape: tuple[int | None, int] = (None, 1),
        transforms: Sequence[Transform] = (),
        weight: str | None = None,
    ) -> None:
        super().__init__(column, transforms, weight)
        self.shape, self.media_type = shape, Array(shape)

    @classmethod
    def codec_settings(cls, shape: Sequence[int | None] = (None, 1), **settings: Any) -> dict[str, Any]:
        return {"shape": [*shape] if isinstance(shape, Sequence) else shape}  # its type is checked later

    def values(self, record: Record) -> list[Any]:
        value = record.get(self.column)
        if isinstance(value, str) and value.strip():
            try:
                value = json.loads(value)
            except (ValueError, RecursionError):
                raise ValueError(f"column {self.column!r} holds {value[:40]!r}, wanted JSON lists of numbers") from None
        if value is None or (isinstance(value, str | list) and not value):
            return []
        # one array is as deep as a matrix, or as a vector of single numbers
        several = isinstance(value, list) and (_depth(value) > 2 or isinstance(value[0], Path | Member))
        if isinstance(value, list) and self.shape[1] == 1 and _depth(value) == 2:
            several = len(value[0]) != 1
        return list(value) if several else [value]

    def decode(self, value: Any) -> Tensor:
        if isinstance(value, Member):
            return self.media_type.decode(value.read(), value.name)  # (n, c)
        if isinstance(value, Path):
            return self.media_type.read(value)
        try:
            return self.media_type.coerce(value)
        except ValueError as error:
            raise ValueError(f"column {self.column!r}: {error}") from None


def _depth(value: Any) -> int:
    """How deep lists or arrays are nested, by their first items."""
    if hasattr(value, "ndim"):
        return int(value.ndim)
    return 1 + (_depth(value[0]) if value else 0) if isinstance(value, list) else 0
