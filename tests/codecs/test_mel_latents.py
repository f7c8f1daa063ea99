"""Log-mel latents on the shipped spoken digits: unit scale, and decoding to the original length."""

import pytest
import torch
from sounds import clips

from mot_lightning.codecs import MelLatents

TRAIN = "train_en-us_m1.flac"


@pytest.fixture(scope="module", params=[None, 40], ids=["all", "40"])
def codec(request) -> MelLatents:
    codec = MelLatents(seconds=0.8, latent_dim=request.param, griffin_lim_iterations=4)
    codec.fit(clips(TRAIN))
    return codec


def spectrum(codec, wave):
    log = codec.to_mel(wave).clamp_min(1e-4).log()
    return torch.nn.functional.interpolate((log - log.mean())[None], 10, mode="linear").flatten()


@pytest.mark.parametrize("samples", [0, 1, 3_000, 9_999])
def test_every_sound_has_the_same_number_of_latents(codec, samples):
    latents = codec.encode(clips("val_en-us_f1.flac")[5].repeat(4)[:samples])
    assert latents.shape == (codec.length, codec.latent_dim) == (20, codec.latent_dim)
    assert latents.isfinite().all()


def test_training_latents_have_zero_mean_and_unit_scale(codec):
    latents = torch.stack([codec.encode(wave) for wave in clips(TRAIN)])
    torch.testing.assert_close(latents.mean((0, 1)), torch.zeros(codec.latent_dim), rtol=0, atol=1e-4)
    assert latents.square().mean().sqrt() == pytest.approx(1, abs=1e-3)


def test_decoded_sounds_keep_their_length_and_are_nearest_to_originals(codec):
    digits = clips("val_en-us_f1.flac")[::4]
    decoded = [codec.decode(codec.encode(wave)) for wave in digits]
    for wave, back in zip(digits, decoded, strict=True):
        assert abs(len(back) - len(wave)) <= 2 * codec.samples_per_unit
        assert back.abs().max() == pytest.approx(0.5)
    real = torch.stack([spectrum(codec, wave) for wave in digits])
    decoded_spectra = torch.stack([spectrum(codec, wave) for wave in decoded])
    assert (torch.cdist(decoded_spectra, real).argmin(1) == torch.arange(len(digits))).float().mean() >= 0.8


def test_spectrum_error_is_zero_with_all_components_and_small_with_few():
    wave, errors = clips("val_en-us_f1.flac")[5], []
    for latent_dim in (None, 80, 10):
        codec = MelLatents(seconds=0.8, latent_dim=latent_dim)
        codec.fit(clips(TRAIN))
        back = codec.encode(wave) * codec.std @ codec.components + codec.center
        errors.append((back - codec._stacked(wave)).square().mean().item())
    assert errors[0] < 1e-8
    assert errors[0] < errors[1] < errors[2] < codec._stacked(wave).var().item() / 3


def test_silence_decodes_to_nothing_and_random_latents_to_finite_sound(codec):
    assert codec.decode(codec.encode(torch.zeros(4_000))).shape == (0,)
    noise = 3 * torch.randn(20, codec.latent_dim, generator=torch.Generator().manual_seed(0))
    wave = codec.decode(noise)
    assert wave.isfinite().all()
    assert 0 < len(wave) <= 6_400


def test_truncation_is_reported_once(capsys):
    codec = MelLatents(seconds=0.2)
    codec.fit(clips(TRAIN))
    assert capsys.readouterr().out.count("is cut to 0.20 s: raise seconds to keep all") == 1


def test_state_dict_restores_the_codec(codec, tmp_path):
    torch.save(codec.state_dict(), tmp_path / "codec.pt")
    other = MelLatents(seconds=0.8, latent_dim=codec.latent_dim, griffin_lim_iterations=4)
    other.load_state_dict(torch.load(tmp_path / "codec.pt", weights_only=True))
    wave = clips("val_en-us_f1.flac")[5]
    assert torch.equal(other.encode(wave), codec.encode(wave))


def test_invalid_arguments_raise_a_one_line_error(codec):
    refusals = [
        (lambda: MelLatents(seconds=0), "seconds is 0, wanted above 0 and at most 60"),
        (lambda: MelLatents(latent_dim=161), "latent_dim is 161, wanted 1 to 160"),
        (lambda: MelLatents().encode(torch.ones(800)), "no deviation yet"),
        (lambda: codec.encode(torch.full((800,), torch.nan)), "finite"),
    ]
    for call, message in refusals:
        with pytest.raises(ValueError, match=message) as refused:
            call()
        assert "\n" not in str(refused.value)
