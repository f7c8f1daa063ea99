"""Log-mel speech units on the shipped spoken digits."""

from pathlib import Path

import pytest
import torch
from sounds import clips
from torch import Tensor
from torchaudio.functional import resample

from mot_lightning.codecs.mel_units import LogMelUnits

RATE = 8_000


@pytest.fixture(scope="module")
def codec() -> LogMelUnits:
    codec = LogMelUnits(griffin_lim_iterations=4)
    codec.fit(clips("train_en-us_m1.flac") + clips("train_en_f2.flac") + clips("train_en-029_steph3.flac"))
    return codec


@pytest.fixture(scope="module")
def clip() -> Tensor:
    return clips("val_en-us_f1.flac")[5]


@pytest.mark.parametrize("samples", [0, 1, 319, 320, 321, 3_000])
def test_encode_gives_one_id_per_started_unit(codec: LogMelUnits, clip: Tensor, samples: int) -> None:
    ids = codec.encode(clip[:samples])
    assert ids.dtype == torch.int64
    assert ids.shape == (max(1, -(-samples // 320)),)
    wave = codec.decode(ids)
    assert wave.shape == (len(ids) * 320,)
    assert wave.isfinite().all()
    assert wave.abs().max() <= 0.5 + 1e-6


def test_decode_is_deterministic_and_accepts_no_ids(codec: LogMelUnits, clip: Tensor) -> None:
    ids = codec.encode(clip)
    assert torch.equal(codec.decode(ids), codec.decode(ids))
    assert codec.decode(ids[:0]).shape == (0,)


def test_decoded_speech_is_near_the_original(codec: LogMelUnits) -> None:
    """For at least 8 of 10 digits by a held-out voice, the decoded spectrum is nearest to the original."""
    digits = clips("val_en-us_f1.flac")[::4]
    real = torch.stack([spectrum(codec, wave) for wave in digits])
    decoded = torch.stack([spectrum(codec, codec.decode(codec.encode(wave))) for wave in digits])
    assert (torch.cdist(decoded, real).argmin(1) == torch.arange(10)).float().mean() >= 0.8


def spectrum(codec: LogMelUnits, wave: Tensor) -> Tensor:
    log = codec.to_mel(wave).clamp_min(1e-4).log()
    return torch.nn.functional.interpolate((log - log.mean())[None], 10, mode="linear").flatten()


@pytest.mark.parametrize("gain", [0.001, 0.1, 4.0])
def test_loudness_does_not_change_the_ids(codec: LogMelUnits, clip: Tensor, gain: float) -> None:
    assert torch.equal(codec.encode(gain * clip), codec.encode(clip))


def test_state_dict_restores_the_codec(codec: LogMelUnits, clip: Tensor, tmp_path: Path) -> None:
    torch.save(codec.state_dict(), tmp_path / "codec.pt")
    other = LogMelUnits(griffin_lim_iterations=4)
    other.load_state_dict(torch.load(tmp_path / "codec.pt", weights_only=True))
    ids = codec.encode(clip)
    assert torch.equal(other.encode(clip), ids)
    assert torch.equal(other.decode(ids), codec.decode(ids))


def test_fitting_twice_gives_the_same_centroids(clip: Tensor) -> None:
    first, second = LogMelUnits(vocab_size=4), LogMelUnits(vocab_size=4)
    for codec in (first, second):
        codec.fit([clip, clip.flip(0)])
    assert torch.equal(first.centroids, second.centroids)
    assert torch.equal(first.encode(clip), second.encode(clip))


def test_encode_before_fit_raises(clip: Tensor) -> None:
    with pytest.raises(ValueError, match="no centroids yet"):
        LogMelUnits().encode(clip)


def test_resampled_speech_keeps_most_ids(codec: LogMelUnits, clip: Tensor) -> None:
    there_and_back = resample(resample(clip, RATE, 2 * RATE), 2 * RATE, RATE)
    assert (codec.encode(0.5 * there_and_back) == codec.encode(clip)).float().mean() >= 0.8
