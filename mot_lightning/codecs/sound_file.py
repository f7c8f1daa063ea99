"""Sound files as waveforms: whatever libsndfile reads (WAV, FLAC, OGG, MP3), whatever the file is called."""

from collections.abc import Callable
from pathlib import Path

import soundfile
import torch
from torch import Tensor
from torchaudio import functional as F


def read_sound(path: Path, sample_rate: int, say: Callable[[str], None] | None = None) -> Tensor:
    """A file's waveform: float32 `(n,)` at `sample_rate` Hz, its channels averaged; `say` is told of what that changed.

    Raises:
        ValueError: the file is no sound, is empty or silent, or holds values that are no finite numbers.
    """
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise ValueError(f"{path}: not a readable sound file ({error.error_string})") from error
    wave = torch.from_numpy(samples).mean(1)
    with path.open("rb") as file:
        start = file.read(8)
    if start[:4] == b"RIFF" and int.from_bytes(start[4:], "little") + 8 > path.stat().st_size + 1:
        raise ValueError(f"{path}: truncated, its header speaks of more than the file holds")
    if not len(wave):
        raise ValueError(f"{path}: holds no samples")
    if not wave.isfinite().all():
        raise ValueError(f"{path}: holds samples that are not finite numbers")
    if wave.abs().max() < 2**-15:
        raise ValueError(f"{path}: entirely silent")
    changes = [f"{samples.shape[1]} channels averaged"] * (samples.shape[1] > 1)
    changes += [f"{rate} Hz to {sample_rate} Hz"] * (rate != sample_rate)
    if changes and say:
        say(f"{path}: {', '.join(changes)}")
    return F.resample(wave, rate, sample_rate)
