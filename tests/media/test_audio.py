"""Audio files: all formats are read at one sample rate, and invalid files raise."""

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


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        (np.zeros(0), "no samples"),
        (np.zeros(800), "silent"),
        (np.stack([np.ones(800), -np.ones(800)], axis=1), "silent"),
        (np.array([0.1, np.nan, 0.1]), "finite"),
        (np.array([0.1, np.inf, 0.1]), "finite"),
    ],
    ids=["empty", "silence", "channels that cancel", "nan", "inf"],
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
