"""The media of records, decoded when they are needed."""

from collections.abc import Sequence
from typing import Any

import torch

from datamodules.columns import Column
from datamodules.sources import Source
from mot_lightning.seeds import mix


class Decoded(Sequence[Any]):
    """Media of a column that are read and decoded when they are indexed.

    Args:
        places: record of each medium, and its number among the record's.
        skips: whether the next good medium stands for one that cannot be used.
    """

    def __init__(self, source: Source, column: Column, places: list[tuple[int, int]], skips: bool) -> None:
        self.source, self.column, self.places, self.skips = source, column, places, skips

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: Any) -> Any:
        candidates = self.places[index:] + self.places[:index] if self.skips else [self.places[index]]
        for record, number in candidates:
            try:
                return self.column.decode(self.column.values(self.source.record(record))[number])
            except ValueError as error:
                refusal = error
        raise refusal


def load(column: Column, value: Any, transform_seed: int | None) -> Any:
    """A decoded medium, transformed with the random numbers of a seed if there is one."""
    media = column.decode(value)
    if transform_seed is None:
        return media
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(mix(transform_seed))
        return column.transform(media)
