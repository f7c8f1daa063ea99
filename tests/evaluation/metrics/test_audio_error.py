"""SI-SDR and mel-cepstral distance of waveforms."""

import math
from importlib.util import find_spec

import pytest
import torch

from mot_lightning.evaluation.metrics import SISDR, STOI, MelCepstralDistance


def value(metric, medium, target):
    metric.update([medium], [target])
    return float(metric.compute())


def tone(frequency):
    return (2 * math.pi * frequency * torch.arange(4000) / 8000).sin()


def test_si_sdr_is_that_of_an_orthogonal_distortion_at_any_loudness():
    distorted = 3 * (tone(500) + 0.1 * tone(1000))
    assert value(SISDR(), distorted, tone(500)) == pytest.approx(20, abs=0.1)
    assert value(SISDR(), distorted[:3000], tone(500)) == pytest.approx(20, abs=0.1)  # as far as both go


def test_mel_cepstral_distance_is_that_of_the_spectra_in_db_without_loudness():
    noise = torch.randn(8001, generator=torch.Generator().manual_seed(0))
    filtered = noise[1:] + 0.8 * noise[:-1]
    mels = torch.linspace(0, 2595 * math.log10(1 + 4000 / 700), 42)[1:-1]
    frequency = 700 * (10 ** (mels / 2595) - 1) / 8000 * 2 * math.pi
    gain = 10 * (1 + 0.8**2 + 1.6 * frequency.cos()).log10()  # |1 + .8 z^-1|^2 in dB
    expected = float((gain - gain.mean()).square().mean().sqrt())
    assert value(MelCepstralDistance(8000), filtered, noise[1:]) == pytest.approx(expected, rel=0.15)
    assert value(MelCepstralDistance(8000), noise, noise) == 0
    assert value(MelCepstralDistance(8000), 0.5 * noise, noise) < 0.01


@pytest.mark.skipif(find_spec("pystoi") is not None, reason="pystoi is installed")
def test_stoi_needs_pystoi():
    with pytest.raises(ModuleNotFoundError, match="pystoi"):
        value(STOI(8000), tone(500), tone(500))
