"""Audio files: all formats are read at one sample rate, and invalid files raise."""

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from sounds import clips
from torch import Tensor
from torchaudio.functional import resample

from mot_lightning.media import Audio

RATE = 8_000
AUDIO = Audio(RATE)


@pytest.fixture(scope="module")
def clip() -> Tensor:
    return clips("val_en-us_f1.flac")[5]


def test_write_then_read(clip: Tensor, tmp_path: Path) -> None:
    path = AUDIO.write(clip, tmp_path / "v1.5")
    assert path == tmp_path / "v1.5.wav"
    assert torch.allclose(AUDIO.read(path), clip, atol=2**-15)


@pytest.mark.parametrize("suffix", Audio.suffixes)
def test_every_suffix_is_read(clip: Tensor, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"clip{suffix}"
    soundfile.write(path, clip.numpy(), RATE)
    wave = AUDIO.read(path)
    assert wave.dtype == torch.float32
    assert abs(len(wave) - len(clip)) <= 2_000  # MP3 pads whole frames


def test_stereo_file_is_averaged_resampled_and_reported(
    clip: Tensor, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wave = resample(clip, RATE, 2 * RATE)
    soundfile.write(tmp_path / "stereo.wav", torch.stack([0.7 * wave, 0.3 * wave], dim=1).numpy(), 2 * RATE)
    read = AUDIO.read(tmp_path / "stereo.wav")
    assert capsys.readouterr().out == f"{tmp_path / 'stereo.wav'}: 2 channels averaged, 16000 Hz to 8000 Hz\n"
    assert len(read) == len(clip)
    assert (0.5 * clip - read).square().mean() < 1e-3 * clip.square().mean()


@pytest.mark.parametrize(("left", "right", "taken"), [(0.7, -0.7, 1), (0.5, -0.55, 2), (-0.6, 0.6, 1)])
def test_channels_that_cancel_are_not_averaged(
    clip: Tensor, tmp_path: Path, capsys: pytest.CaptureFixture[str], left: float, right: float, taken: int
) -> None:
    soundfile.write(tmp_path / "a.wav", torch.stack([left * clip, right * clip], dim=1).numpy(), RATE, "FLOAT")
    read = AUDIO.read(tmp_path / "a.wav")
    assert torch.allclose(read, (left, right)[taken - 1] * clip)
    line = f"{tmp_path / 'a.wav'}: channel {taken} of 2 taken, as their average cancels\n"
    assert capsys.readouterr().out == line


def test_a_silent_channel_is_averaged_with_the_other(
    clip: Tensor, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    soundfile.write(tmp_path / "a.wav", torch.stack([clip, 0 * clip], dim=1).numpy(), RATE, "FLOAT")
    assert torch.allclose(AUDIO.read(tmp_path / "a.wav"), clip / 2)
    assert capsys.readouterr().out == f"{tmp_path / 'a.wav'}: 2 channels averaged\n"


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        (np.zeros(0), "no samples"),
        (np.zeros(800), "silent"),
        (np.zeros((800, 2)), "silent"),
        (np.array([0.1, np.nan, 0.1]), "finite"),
        (np.array([0.1, np.inf, 0.1]), "finite"),
    ],
    ids=["empty", "silence", "silent stereo", "nan", "inf"],
)
def test_empty_silent_or_non_finite_file_raises(tmp_path: Path, samples: np.ndarray, reason: str) -> None:
    path = tmp_path / "bad.wav"
    soundfile.write(path, samples, RATE, subtype="FLOAT")
    with pytest.raises(ValueError, match=reason) as refused:
        AUDIO.read(path)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("content", [b"zero one two three\n", b""], ids=["text", "nothing"])
def test_invalid_sound_file_raises(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "text.wav"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="not a readable sound file") as refused:
        AUDIO.read(path)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)
    with pytest.raises(ValueError, match="not a readable sound file"):
        AUDIO.read(tmp_path / "absent.wav")


def wav(samples: np.ndarray, whole: int | None, size: int | None, before: bytes = b"", after: bytes = b"") -> bytes:
    """A 16-bit mono WAV file with these sizes in its header, for all and for its samples; None is the true one."""
    data = samples.astype("<i2").tobytes()
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, RATE, 2 * RATE, 2, 16)
    chunk = struct.pack("<4sI", b"data", len(data) if size is None else size)
    content = b"WAVE" + form + before + chunk + data + after
    return b"RIFF" + struct.pack("<I", len(content) if whole is None else whole) + content


LIST = struct.pack("<4sI", b"LIST", 4) + b"INFO"


@pytest.mark.parametrize(
    ("whole", "size", "before"),
    [
        (0xFFFFFFFF, 0xFFFFFFFF, b""),
        (0xFFFFFFFF, 0xFFFFFFFF, LIST),  # as FFmpeg
        (0x7FFFF024, 0x7FFFF000, b""),  # as SoX
        (0, 0, b""),
        (36, 0, b""),  # what a recorder leaves that is killed
        (0xFFFFFFFF, None, b""),
        (None, 0xFFFFFFFF, b""),
    ],
)
def test_wav_without_sizes_in_its_header_is_read_to_the_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], whole: int | None, size: int | None, before: bytes
) -> None:
    samples = np.random.default_rng(0).integers(-9_000, 9_000, 4_000)
    path = tmp_path / "pipe.wav"
    path.write_bytes(wav(samples, whole, size, before))
    assert torch.equal(AUDIO.read(path), torch.from_numpy(samples / 2**15).float())
    assert capsys.readouterr().out == f"{path}: no size in the header, read to the end\n"


def test_flac_without_a_length_is_read_to_the_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    samples, path = np.random.default_rng(0).integers(-9_000, 9_000, 100_000) / 2**15, tmp_path / "pipe.flac"
    soundfile.write(path, samples, RATE)
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0  # the last 36 bits of the length
    content[22:26] = bytes(4)
    path.write_bytes(content)
    assert torch.equal(AUDIO.read(path), torch.from_numpy(samples).float())
    assert capsys.readouterr().out == f"{path}: no size in the header, read to the end\n"


def test_sizes_stated_in_a_header_are_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    samples, path = np.arange(-2_000, 2_000), tmp_path / "clip.wav"
    path.write_bytes(wav(samples, None, None, LIST, LIST))
    assert len(AUDIO.read(path)) == 4_000
    assert capsys.readouterr().out == ""
    path.write_bytes(wav(samples[:0], None, None, after=LIST))
    with pytest.raises(ValueError, match="has no samples"):
        AUDIO.read(path)
    path.write_bytes(wav(samples, None, None)[:-1_000])
    with pytest.raises(ValueError, match="truncated"):
        AUDIO.read(path)


def test_damaged_sample_rate_raises_instead_of_filling_the_memory(tmp_path: Path) -> None:
    content = bytearray(wav(np.arange(-2_000, 2_000), None, None))
    content[24:28] = struct.pack("<I", 767_999)
    (tmp_path / "clip.wav").write_bytes(content)
    with pytest.raises(ValueError, match="rate is 767999 Hz, wanted one with a larger common divisor with 8000 Hz"):
        AUDIO.read(tmp_path / "clip.wav")


def test_waveform_in_memory_equals_its_file(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).integers(-9_000, 9_000, 4_000).astype(np.int16)
    soundfile.write(tmp_path / "clip.wav", samples, RATE)
    expected = AUDIO.read(tmp_path / "clip.wav")
    floats = samples / 2**15
    for form in (samples, samples[None], floats, torch.from_numpy(samples), torch.from_numpy(floats)[None]):
        assert torch.equal(AUDIO.coerce(form), expected)
    assert AUDIO.coerce(np.zeros(0)).shape == (0,)  # a generated segment may be empty


@pytest.mark.parametrize(
    ("media", "message"),
    [
        (np.array([-3.0, 5.0]), "audio has values from -3 to 5, wanted -1 to 1"),
        (np.array([0.1, np.nan]), "audio has values that are NaN or infinite, wanted -1 to 1"),
        (np.array([1, 2]), "audio is of dtype int64, wanted int16, or floats from -1 to 1"),
        (torch.zeros(2, 800), r"audio is \(2, 800\), wanted one channel \(n,\) or \(1, n\)"),
        ("clip.wav", "audio is of type str, wanted an array or a tensor"),
    ],
)
def test_invalid_waveform_in_memory_raises_one_line(media, message):
    with pytest.raises(ValueError, match=message) as refused:
        AUDIO.coerce(media)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("media", "message"),
    [
        (torch.ones(2, 800), r"audio is \(2, 800\), wanted one channel \(n,\)"),
        (torch.full((800,), torch.inf), "samples that are NaN or infinite"),
        ([0.1, 0.2], r"audio is of type list, wanted a waveform \(n,\)"),
    ],
)
def test_invalid_waveform_raises_a_one_line_error(media, message):
    with pytest.raises(ValueError, match=message) as refused:
        AUDIO.check(media)
    assert "\n" not in str(refused.value)
