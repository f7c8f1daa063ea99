"""Next latent: a distribution of each latent, where regression learns its mean alone."""

import pytest
import torch
from properties import plain

from mot_lightning.backbone import BackboneSettings
from mot_lightning.generation import generate
from mot_lightning.model import MixtureOfTransformers
from mot_lightning.noise import Noise
from mot_lightning.objectives import NextLatent, NextToken, Regression
from mot_lightning.seeds import generator_for
from mot_lightning.sequence import Segment, Tokens, pack

TOKENS = {"text": Tokens(vocab_size=4), "other": Tokens(latent_dim=2, length=3)}
BACKBONE = BackboneSettings(dim=32, depth=1, heads=2, ffn_dim=64)


def model_of(objective):
    torch.manual_seed(0)
    return MixtureOfTransformers({"text": NextToken(), "other": objective}, TOKENS, "text", BACKBONE)


def chains(n):
    """Segments that are 1 or -1 throughout, by chance: no latent but the first is uncertain."""
    signs = torch.randint(2, (n,), generator=generator_for(3)) * 2.0 - 1
    return [[Segment("other", sign.expand(3, 2).clone())] for sign in signs]


@pytest.mark.parametrize("objective", [NextLatent(), Regression()], ids=["next latent", "regression"])
def test_learns_both_modes_and_what_follows_from_them(objective):
    model, documents = model_of(objective), chains(64)
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
    for step in range(150):
        optimizer.zero_grad()
        model(pack(documents, model.grammar, 64), step)["other"].loss.mean().backward()
        optimizer.step()
    sampled = generate(model.eval(), [[]] * 40, plain(("other",)))
    latents = torch.stack([segments[0].tokens for segments in sampled])  # (40, 3, 2)
    if isinstance(objective, Regression):
        assert latents[:, 0].abs().max() < 0.5  # the mean of both
        return
    assert (latents.abs() - 1).abs().mean() < 0.15
    assert 8 < (latents[:, 0, 0] > 0).sum() < 32
    assert (latents.sign() == latents[:, :1, :1].sign()).all()


def test_levels_of_noise_are_averaged_and_are_functions_of_the_token():
    """The loss of two levels is the mean of two losses; the second level of a token has other noise."""
    model = model_of(NextLatent(noise_levels=2)).eval()
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator_for(2))
    part = pack(chains(4), model.grammar, 64).by_modality["other"]
    objective = model.objectives["other"]
    embedded = objective.embed(part, Noise.of(part))
    times, noise = embedded.skip
    assert times.shape == (2, 12)
    assert noise.shape == (2, 12, 2)
    assert not times[0].isclose(times[1]).any()
    hidden = torch.randn(12, 32, generator=generator_for(5))
    both = objective.loss(hidden, embedded)
    one, other = (objective.loss(hidden, embedded._replace(skip=(times[i : i + 1], noise[i : i + 1]))) for i in (0, 1))
    torch.testing.assert_close(both, (one + other) / 2)
    assert not one.isclose(other).any()


def test_loss_is_the_error_of_the_velocity_from_data_to_noise():
    """An untrained head says 0, so that the loss is the mean square of noise - x_0."""
    model = model_of(NextLatent(noise_levels=3))
    part = pack(chains(4), model.grammar, 64).by_modality["other"]
    embedded = model.objectives["other"].embed(part, Noise.of(part))
    expected = (embedded.skip[1] - part.tokens).square().mean((0, 2))
    torch.testing.assert_close(model.objectives["other"].loss(torch.randn(12, 32), embedded), expected)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"head_depth": 0}, "head_depth is 0, wanted at least 1"),
        ({"noise_levels": 0}, "noise_levels is 0, wanted at least 1"),
        ({"steps": 0}, "steps is 0, wanted at least 1"),
        ({"head_dim": -1}, "head_dim is -1, wanted 0 or more"),
        ({"scheduler": "DDIMScheduler"}, "DDIMScheduler is not for flow matching"),
    ],
)
def test_bad_settings_raise(settings, message):
    with pytest.raises(ValueError, match=message):
        NextLatent(**settings)
