"""Mono waveforms and their files; how a file is decoded is left to `audio_file.py`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import soundfile
from torch import Tensor

from mot_lightning.media.audio_file import read_audio
from mot_lightning.media.base import MediaType


class Audio(MediaType):
    """Mono waveforms, float `(n,)`.

    Args:
        sample_rate: Hz.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".wav", ".flac", ".ogg", ".mp3")

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate

    def check(self, media: Any) -> None:
        if not isinstance(media, Tensor):
            raise ValueError(f"audio is of type {type(media).__name__}, wanted a waveform (n,)")
        if media.dim() != 1:
            raise ValueError(f"audio is {tuple(media.shape)}, wanted one channel (n,)")
        if not media.isfinite().all():
            raise ValueError("audio has samples that are NaN or infinite, wanted finite numbers")

    def read(self, path: Path) -> Tensor:
        """A file's waveform at `sample_rate`, channels averaged; prints what was converted, if anything.

        Raises:
            ValueError: the file is not audio, is silent, or has samples that are NaN or infinite.
        """
        return read_audio(path, self.sample_rate, print)

    def write(self, media: Tensor, stem: Path) -> Path:
        """Write a waveform `(n,)` as 16-bit WAV to `stem.wav`; returns the path."""
        path = stem.with_name(f"{stem.name}.wav")
        soundfile.write(path, media.cpu().numpy(), self.sample_rate, subtype="PCM_16")
        return path

    def log(self, writer: Any, tag: str, media: Sequence[Tensor], captions: Sequence[str], step: int) -> None:
        for i, wave in enumerate(media):
            if not len(wave):  # from an empty segment
                continue
            writer.add_audio(f"{tag}/{i:02}", wave, step, self.sample_rate)
