"""Sounds from files."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from datamodules.columns.base import Column, Transform
from datamodules.sources import Record
from datamodules.sources.base import Member, Waveform
from mot_lightning.errors import require
from mot_lightning.media.audio_file import decode_audio, from_samples, read_audio


class Stretch(NamedTuple):
    """One of the stretches of a long sound."""

    sound: Any
    number: int


class AudioColumn(Column):
    """Sound files as waveforms (n,) at one rate, channels averaged.

    Args:
        column: its name.
        sample_rate: Hz; sounds are resampled to it.
        max_seconds: the start of a longer sound is taken; null takes it whole.
        stretches: of `max_seconds` that a sound is cut into, each a medium. What is beyond them, or shorter, is left
            out; of a sound that has fewer, some are there twice, as its length shows only when it is read.
        transforms: such as `torchaudio.transforms.SpeedPerturbation`, as in `Column`.
        weight: as in `Column`.
    """

    def __init__(
        self,
        column: str = "audio",
        sample_rate: int = 16_000,
        max_seconds: float | None = None,
        transforms: Sequence[Transform] = (),
        weight: str | None = None,
        stretches: int = 1,
    ) -> None:
        super().__init__(column, transforms, weight)
        require(f"the sample_rate of column {column!r}", sample_rate, "at least 1,000 Hz", sample_rate >= 1_000)
        fits = max_seconds is None or 0 < max_seconds < math.inf
        require(f"the max_seconds of column {column!r}", max_seconds, "more than 0, or null", fits)
        several = stretches == 1 or (stretches > 1 and max_seconds is not None)
        require(f"the stretches of column {column!r}", stretches, "1, or more where max_seconds is set", several)
        self.sample_rate, self.max_seconds, self.stretches = sample_rate, max_seconds, stretches

    @classmethod
    def codec_settings(cls, sample_rate: int = 16_000, **settings: Any) -> dict[str, Any]:
        return {"sample_rate": sample_rate}

    def values(self, record: Record) -> Sequence[Any]:
        values = super().values(record)
        if self.stretches == 1:
            return values
        return [Stretch(value, number) for value in values for number in range(self.stretches)]

    def decode(self, value: Any) -> Tensor:
        value, number = value if isinstance(value, Stretch) else (value, 0)
        if isinstance(value, Member):
            wave = decode_audio(value.read(), value.name, self.sample_rate)  # (n,)
        elif isinstance(value, Waveform):
            name = f"a sound of column {self.column!r}"
            wave = from_samples(value.samples.T, value.sample_rate, name, self.sample_rate)
        elif isinstance(value, Path):
            wave = read_audio(value, self.sample_rate)
        else:
            raise ValueError(f"column {self.column!r} holds {str(value)[:40]!r}, wanted files: see data.source.files")
        if self.max_seconds is None:
            return wave
        length = max(1, int(self.max_seconds * self.sample_rate))
        start = number % max(1, len(wave) // length) * length
        return wave[start : start + length]
