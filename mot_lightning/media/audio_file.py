"""Sound files as waveforms: every format that libsndfile reads (WAV, FLAC, OGG, MP3), whatever the file's suffix."""

import io
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from jaxtyping import Float
from torch import Tensor
from torchaudio import functional as F

from mot_lightning.errors import BadMedia

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
        content = path.read_bytes()
    except OSError as error:
        raise BadMedia(f"{path}: not a readable sound file ({error.strerror})", "unreadable") from error
    return decode_audio(content, str(path), sample_rate, report)


def decode_audio(content: bytes, name: str, sample_rate: int, report: Callable[[str], None] | None = None) -> Tensor:
    """The waveform of a file's content, as of the file by `read_audio`.

    Args:
        name: of the file, in messages.
    """
    streamed = _with_sizes(content)
    try:
        with soundfile.SoundFile(io.BytesIO(streamed or content)) as sound:
            endless, rate = sound.frames > MAX_FRAMES, sound.samplerate
            samples = _to_the_end(sound) if endless else sound.read(dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise BadMedia(f"{name}: not a readable sound file ({error.error_string})", "unreadable") from error
    if not streamed and content[:4] == b"RIFF" and _size(content[4:8]) + 8 > len(content) + 1:
        raise BadMedia(f"{name}: truncated, its header announces more bytes than the file has", "truncated")
    sizeless = ["no size in the header, read to the end"] * bool(streamed or endless)
    return from_samples(torch.from_numpy(samples), rate, name, sample_rate, report, sizeless)


def from_samples(
    channels: Float[Tensor, "n channels"],
    rate: int,
    name: str,
    sample_rate: int,
    report: Callable[[str], None] | None = None,
    changes: Sequence[str] = (),
) -> Float[Tensor, " n"]:
    """The waveform of samples in memory, as of a file by `read_audio`.

    Args:
        rate: of the samples, in Hz.
        name: in messages.
        changes: what was converted before, for the line of `report`.
    """
    wave = channels.mean(1)
    if not len(wave):
        raise BadMedia(f"{name}: has no samples", "empty")
    if not wave.isfinite().all():
        raise BadMedia(f"{name}: has samples that are NaN or infinite", "not finite")
    divisor = math.gcd(rate, sample_rate)
    if (rate // divisor) * (sample_rate // divisor) > MAX_FILTER:
        requirement = f"wanted one with a larger common divisor with {sample_rate} Hz"
        raise BadMedia(f"{name}: rate is {rate} Hz, {requirement}", "sample rate")
    if channels.abs().max() < SILENCE:
        raise BadMedia(f"{name}: entirely silent", "silent")
    changes = [*changes]
    power = channels.square().mean(0)
    if wave.square().mean() < CANCELLED * power.max():
        loudest = int(power.argmax())
        wave = channels[:, loudest]
        changes.append(f"channel {loudest + 1} of {len(power)} taken, as their average cancels")
    elif len(power) > 1:
        changes.append(f"{len(power)} channels averaged")
    changes += [f"{rate} Hz to {sample_rate} Hz"] * (rate != sample_rate)
    if changes and report:
        report(f"{name}: {', '.join(changes)}")
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


def _with_sizes(content: bytes) -> bytes | None:
    """The content of a WAV file with the sizes that its header lacks, up to its end; None if it lacks none."""
    end = len(content)
    if content[:4] != b"RIFF" or content[8:12] != b"WAVE":
        return None
    at = 12  # where the current chunk begins
    while at + 8 <= end and content[at : at + 4] != b"data":
        size = _size(content[at + 4 : at + 8])
        at += 8 + size + size % 2
    data, whole, samples = at + 8, _size(content[4:8]) + 8, _size(content[at + 4 : at + 8])
    if data >= end:
        return None
    # without samples, but with other chunks after them, a file is complete
    unknown = data + samples > end if samples >= UNKNOWN else not samples and not data < whole <= end
    if not unknown and not (whole == 8 or (whole > UNKNOWN and whole > end)):
        return None
    sized = bytearray(content)
    sized[4:8] = (end - 8).to_bytes(4, "little")
    if unknown:
        sized[data - 4 : data] = (end - data).to_bytes(4, "little")
    return bytes(sized)
