"""Sound files as waveforms: every format that libsndfile reads (WAV, FLAC, OGG, MP3), whatever the file's suffix."""

from collections.abc import Callable
from pathlib import Path

import soundfile
import torch
from torch import Tensor
from torchaudio import functional as F


def read_audio(path: Path, sample_rate: int, report: Callable[[str], None] | None = None) -> Tensor:
    """A file's waveform: float32 `(n,)` at `sample_rate` Hz, channels averaged; `report` gets what was converted.

    Raises:
        ValueError: the file is not audio, is empty or silent, or has samples that are NaN or infinite.
    """
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise ValueError(f"{path}: not a readable sound file ({error.error_string})") from error
    wave = torch.from_numpy(samples).mean(1)
    with path.open("rb") as file:
        start = file.read(8)
    if start[:4] == b"RIFF" and int.from_bytes(start[4:], "little") + 8 > path.stat().st_size + 1:
        raise ValueError(f"{path}: truncated, its header announces more bytes than the file has")
    if not len(wave):
        raise ValueError(f"{path}: has no samples")
    if not wave.isfinite().all():
        raise ValueError(f"{path}: has samples that are NaN or infinite")
    if wave.abs().max() < 2**-15:
        raise ValueError(f"{path}: entirely silent")
    changes = [f"{samples.shape[1]} channels averaged"] * (samples.shape[1] > 1)
    changes += [f"{rate} Hz to {sample_rate} Hz"] * (rate != sample_rate)
    if changes and report:
        report(f"{path}: {', '.join(changes)}")
    return F.resample(wave, rate, sample_rate)
