"""One measured quantity as a row of an evaluation card, and rows as tables."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple


class Row(NamedTuple):
    """A value with its number of samples and its 95 % interval.

    Attributes:
        section: the table that it stands in.
        of: a modality or a task.
        samples: what the value is over: documents, media or tokens, as the section says.
        low, high: ends of the interval, the 2.5 and 97.5 % quantiles; NaN if there is none.
        note: what limits the value, or why there is none: `value` is then NaN.
    """

    section: str
    of: str
    quantity: str
    value: float
    samples: int
    low: float = math.nan
    high: float = math.nan
    note: str = ""

    def record(self) -> dict[str, Any]:
        """Plain values; what is not a number is None."""
        return {name: None if value != value else value for name, value in self._asdict().items()}


def unavailable(section: str, of: str, quantity: str, reason: str, samples: int = 0) -> Row:
    """A row without a value."""
    return Row(section, of, quantity, math.nan, samples, note=f"unavailable: {reason}")


def tables(rows: Iterable[Row]) -> dict[str, list[list[str]]]:
    """The table of each section; the first row of each is its head."""
    by_section: dict[str, list[list[str]]] = {}
    for row in rows:
        table = by_section.setdefault(row.section, [["of", "quantity", "value", "2.5 %", "97.5 %", "n"]])
        table.append([row.of, row.quantity, *map(_number, (row.value, row.low, row.high)), str(row.samples or "")])
    return by_section


def notes(rows: Sequence[Row]) -> list[str]:
    """The notes, a line each, with all rows that each belongs to."""
    by_note: dict[str, list[str]] = {}
    for row in rows:
        if row.note:
            by_note.setdefault(row.note, []).append(f"{row.of} {row.quantity}")
    return [f"{', '.join(dict.fromkeys(names))}: {note}" for note, names in by_note.items()]


def _number(value: float) -> str:
    if math.isnan(value):
        return ""
    if 0 < abs(value) < 0.1:
        return f"{value:.4f}"
    return f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"
