"""Sound files as waveforms: every format that libsndfile reads (WAV, FLAC, OGG, MP3), whatever the file's suffix."""

import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from torch import Tensor
from torchaudio import functional as F

# sizes in the header of a WAV file that was written to a pipe: 0 or, by program, one of the largest numbers
UNKNOWN = 0x7FFF0000
MAX_FRAMES = 2**48  # libsndfile states more for a FLAC file that was written to a pipe
SILENCE = 2**-15  # half a level of 16 bits
CANCELLED = 0.01  # power of an average whose channels are of opposite phase, relative to the loudest of them
MAX_FILTER = 2**26  # numbers in a resampling filter: with damaged rates it would fill the memory


def read_audio(path: Path, sample_rate: int, report: Callable[[str], None] | None = None) -> Tensor:
    """A file's waveform: float32 `(n,)` at `sample_rate` Hz, channels averaged, or the loudest if they cancel.

    Args:
        report: gets one line that says what was converted.

    Raises:
        ValueError: the file is not audio, is empty or silent, or has samples that are NaN or infinite.
    """
    try:
        streamed = _with_sizes(path)
        with soundfile.SoundFile(streamed or path) as sound:
            endless, rate = sound.frames > MAX_FRAMES, sound.samplerate
            samples = _to_the_end(sound) if endless else sound.read(dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise ValueError(f"{path}: not a readable sound file ({error.error_string})") from error
    except OSError as error:
        raise ValueError(f"{path}: not a readable sound file ({error.strerror})") from error
    channels = torch.from_numpy(samples)  # (n, channels)
    wave = channels.mean(1)
    with path.open("rb") as file:
        start = file.read(8)
    if not streamed and start[:4] == b"RIFF" and _size(start[4:]) + 8 > path.stat().st_size + 1:
        raise ValueError(f"{path}: truncated, its header announces more bytes than the file has")
    if not len(wave):
        raise ValueError(f"{path}: has no samples")
    if not wave.isfinite().all():
        raise ValueError(f"{path}: has samples that are NaN or infinite")
    divisor = math.gcd(rate, sample_rate)
    if (rate // divisor) * (sample_rate // divisor) > MAX_FILTER:
        raise ValueError(f"{path}: rate is {rate} Hz, wanted one with a larger common divisor with {sample_rate} Hz")
    if channels.abs().max() < SILENCE:
        raise ValueError(f"{path}: entirely silent")
    changes = ["no size in the header, read to the end"] * bool(streamed or endless)
    power = channels.square().mean(0)
    if wave.square().mean() < CANCELLED * power.max():
        loudest = int(power.argmax())
        wave = channels[:, loudest]
        changes.append(f"channel {loudest + 1} of {len(power)} taken, as their average cancels")
    elif len(power) > 1:
        changes.append(f"{len(power)} channels averaged")
    changes += [f"{rate} Hz to {sample_rate} Hz"] * (rate != sample_rate)
    if changes and report:
        report(f"{path}: {', '.join(changes)}")
    return F.resample(wave, rate, sample_rate)


def _to_the_end(sound: soundfile.SoundFile) -> np.ndarray[Any, np.dtype[np.float32]]:
    """All samples of a file whose header does not say how many there are, (n, channels)."""
    sound.seekable = lambda: False  # after a read, soundfile would seek, which fails without a length
    parts = [np.empty((0, sound.channels), np.float32)]
    while len(part := sound.read(2**16, dtype="float32", always_2d=True)):
        parts.append(part)
    return np.concatenate(parts)


def _size(field: bytes) -> int:
    return int.from_bytes(field, "little")


def _with_sizes(path: Path) -> io.BytesIO | None:
    """A copy of a WAV file with the sizes that its header lacks, up to the end of the file; None if it lacks none."""
    end = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(12)
        if start[:4] != b"RIFF" or start[8:] != b"WAVE":
            return None
        while len(chunk := file.read(8)) == 8 and chunk[:4] != b"data":
            file.seek(_size(chunk[4:]) + _size(chunk[4:]) % 2, io.SEEK_CUR)
        data, whole, samples = file.tell(), _size(start[4:8]) + 8, _size(chunk[4:])
        if chunk[:4] != b"data" or data == end:
            return None
        # without samples, but with other chunks after them, a file is complete
        unknown = data + samples > end if samples >= UNKNOWN else not samples and not data < whole <= end
        if not unknown and not (whole == 8 or (whole > UNKNOWN and whole > end)):
            return None
        file.seek(0)
        content = bytearray(file.read())
    content[4:8] = (end - 8).to_bytes(4, "little")
    if unknown:
        content[data - 4 : data] = (end - data).to_bytes(4, "little")
    return io.BytesIO(content)
