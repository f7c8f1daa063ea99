"""Documents from a source that streams: numbered without an end, where other data have passes over items.

Knows the settings that a stream cannot follow; reading is left to `sources/stream.py`.
"""

from typing import Any

from datamodules.sampler import ResumableSampler, SampleIndex
from mot_lightning.errors import require


class StreamOrder(ResumableSampler):
    """Training documents start from their own numbers."""

    def at(self, number: int) -> SampleIndex:
        return SampleIndex(number, number)


def check_streamed(source: Any, split_column: str | None, split_by: str | None, tokens: int | None) -> None:
    """Raises ValueError if splits or batches of a stream are to follow what only reading ahead would tell."""
    column = None if source.split else "split"
    need = f"{'null' if source.split else 'split'}: data.source streams, with split {source.split or 'null'}"
    require("data.split_column", split_column, need, split_column == column)
    require("data.split_by", split_by, "null: data.source streams", split_by is None)
    require("data.tokens", tokens, "null: data.source streams", tokens is None)
