"""Mono waveforms and their files; how a file is decoded is left to `audio_file.py`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import soundfile
import torch
from torch import Tensor

from mot_lightning.errors import say
from mot_lightning.media.arrays import as_array, check_range
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
        return read_audio(path, self.sample_rate, say)

    def coerce(self, media: Any) -> Tensor:
        """A waveform in memory, float32 `(n,)` from -1 to 1, at `sample_rate`: nothing is resampled.

        Args:
            media: an array or tensor (n,) or (1, n): floats from -1 to 1, or int16.

        Raises:
            ValueError: it is none of these, or has other values.
        """
        if not isinstance(media, np.ndarray | Tensor):
            raise ValueError(f"audio is of type {type(media).__name__}, wanted an array or a tensor (n,)")
        array = as_array(media)
        if array.ndim == 2 and len(array) == 1:
            array = array[0]
        if array.ndim != 1:
            raise ValueError(f"audio is {array.shape}, wanted one channel (n,) or (1, n)")
        if array.dtype == np.int16:
            array = array.astype(np.float32) / 2**15
        elif array.dtype != np.float32:
            raise ValueError(f"audio is of dtype {array.dtype}, wanted int16, or floats from -1 to 1")
        check_range("audio", array, -1, 1)
        return torch.from_numpy(array.copy())

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
