"""Which records are in which split, so that a record stays in its split when others are added after it.

Knows numbers of records and cells of a column; a datamodule knows the records.
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from datamodules.documents import SPLITS

Indices = dict[str, np.ndarray]  # of the records of each split


def divide(count: int, fractions: Mapping[str, float], groups: Iterable[Any] | None = None) -> Indices:
    """Records in random order, always the same: a split takes about its fraction of them, and train the rest.

    A split of a fraction above 0 has at least one record if there are enough.

    Args:
        count: of the records.
        fractions: of the other splits.
        groups: the cell of each record in a column: records that agree in it share a split.

    Raises:
        ValueError: no record is left to train on.
    """
    shuffled = numbers = np.random.default_rng(0).random(count)  # the first do not depend on the count
    if groups is not None:
        numbers = np.array([_number(cell) for cell in groups])  # (count,) from 0 to 1
    order, distinct = np.argsort(numbers, kind="stable"), np.unique(numbers)
    waiting = 1 + sum(fraction > 0 for fraction in fractions.values())  # splits that still need a record
    enough = len(distinct) >= waiting
    splits, limit = {}, 0.0
    for name, fraction in fractions.items():
        limit += fraction
        if fraction and enough:
            waiting -= 1
            limit = min(max(limit, np.nextafter(numbers[order[0]], 1)), distinct[-waiting])
        end = int(np.searchsorted(numbers[order], limit))
        members, order = order[:end], order[end:]
        splits[name] = members[shuffled[members].argsort()]  # so the first of a split are of any group
    if not len(order):
        raise ValueError(f"the source has {count} records, and the splits {dict(fractions)} leave none to train on")
    return {"train": order, **splits}


def as_named(cells: Iterable[Any], column: str) -> Indices:
    """Records in the splits that their cells in a column name.

    Raises:
        ValueError: a cell is no name of a split.
    """
    indices: dict[str, list[int]] = {split: [] for split in SPLITS}
    for i, split in enumerate(cells):
        if not isinstance(split, str) or split not in indices:
            raise ValueError(f"data.split_column {column!r} holds {split!r} in record {i}, wanted train, val or test")
        indices[split].append(i)
    return {split: np.array(part, dtype=int) for split, part in indices.items()}


def digest(indices: Indices, count: int) -> str:
    """A hash of the splits of the first `count` records."""
    of_record = np.full(count, len(SPLITS), dtype=np.uint8)
    for number, split in enumerate(SPLITS):
        records = indices[split]
        of_record[records[records < count]] = number
    return hashlib.sha256(of_record.tobytes()).hexdigest()[:16]


def _number(cell: Any) -> float:
    """A number from 0 to 1 that is a function of a text or a number."""
    if not isinstance(cell, str | int | float | None):
        cell = str(cell)
    return int.from_bytes(hashlib.sha256(repr(cell).encode()).digest()[:6], "big") / 2**48
