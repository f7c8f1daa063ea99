"""Masked-token prediction: mask counts and positions, loss weights, and iterative unmasking."""

import pytest
import torch
from conftest import SMALL

from mot_lightning.generation import Context
from mot_lightning.model import MixtureOfTransformers
from mot_lightning.noise import Noise
from mot_lightning.objectives import MaskedToken, NextToken
from mot_lightning.objectives.base import Embedded, Request
from mot_lightning.seeds import generator_for
from mot_lightning.sequence import Segment, Tokens, pack

CODES = Tokens(vocab_size=5, length=8)
both = pytest.mark.parametrize("schedule", ["cosine", "linear"])


def built(**settings):
    """A model of text and codes."""
    torch.manual_seed(0)
    objectives = {"text": NextToken(), "codes": MaskedToken(**settings)}
    return MixtureOfTransformers(objectives, {"text": Tokens(vocab_size=4), "codes": CODES}, "text", SMALL)


def batch_of(model, k, **others):
    ids = torch.randint(5, (k, 8), generator=generator_for(3))
    return pack([[Segment("codes", codes, **others)] for codes in ids], model.grammar, 16).by_modality["codes"]


@both
def test_mask_count_is_between_one_and_the_cap(schedule):
    model = built(schedule=schedule)
    for cap, most in ((1.0, 8), (0.5, 4), (0.3, 2)):
        batch = batch_of(model, 400, noise_cap=cap)
        masked, share = model.objectives["codes"].sample_mask(batch, Noise.of(batch))
        counts = masked.view(400, 8).sum(1)
        torch.testing.assert_close(counts / 8, share)
        assert set(counts.tolist()) == {*range(1, most + 1)}
        places = masked.view(400, 8).float().mean(0)
        assert (places - counts.float().mean() / 8).abs().max() < 0.1  # positions are uniform


def test_mask_counts_follow_the_schedule():
    frequencies = {}
    for schedule in ("linear", "cosine"):
        model = built(schedule=schedule)
        batch = batch_of(model, 4000)
        _, share = model.objectives["codes"].sample_mask(batch, Noise.of(batch))
        frequencies[schedule] = (share * 8).round().long().bincount(minlength=9)[1:] / 4000
    assert (frequencies["linear"] - 1 / 8).abs().max() < 0.03
    expected = -2 / torch.pi * torch.linspace(0, 1, 9).acos().diff()  # of cos(pi u / 2), u uniform
    assert (frequencies["cosine"] - expected).abs().max() < 0.03


def test_zero_cap_or_no_loss_masks_nothing():
    model = built()
    codes = model.objectives["codes"]
    for others in ({"noise_cap": 0.0}, {"loss": False}):
        batch = batch_of(model, 3, **others)
        embedded = codes.embed(batch, Noise.of(batch))
        clean, _ = codes.embed_clean(batch.tokens.view(3, 8))
        assert torch.equal(embedded.embedding, clean.flatten(0, 1))
        assert (embedded.weight == 0).all()


@both
def test_loss_is_an_unbiased_estimate_of_mean_cross_entropy(schedule):
    """For hidden states independent of the masks, the expected loss is the mean over all tokens."""
    model = built(schedule=schedule)
    codes, batch = model.objectives["codes"], batch_of(model, 2000)
    hidden = torch.randn(16_000, 32, generator=generator_for(1))
    embedded = codes.embed(batch, Noise.of(batch, 2))
    with torch.no_grad():
        codes.head.weight.normal_(std=0.5, generator=generator_for(3))
        loss, every = codes.loss(hidden, embedded), codes.cross_entropy(hidden, batch.target)
    masked = embedded.weight > 0
    assert (loss[~masked] == 0).all()
    share = masked.view(2000, 8).float().mean(1)
    by_segment = (every * masked).view(2000, 8).sum(1) / (8 * share)
    torch.testing.assert_close(loss.view(2000, 8).mean(1), by_segment)
    error = by_segment.std() / 2000**0.5
    assert (loss.mean() - every.mean()).abs() < 4 * error


def test_embedding_of_masked_tokens_does_not_depend_on_their_ids():
    model = built().eval()
    codes, batch = model.objectives["codes"], batch_of(model, 4)
    embedded = codes.embed(batch, Noise.of(batch))
    other = codes.embed(batch._replace(tokens=(batch.tokens + 1) % 5), Noise.of(batch))
    masked = embedded.weight > 0
    assert torch.equal(embedded.embedding[masked], other.embedding[masked])
    assert (embedded.embedding[~masked] - other.embedding[~masked]).abs().amax(-1).min() > 0.1


class Known(MaskedToken):
    """Predicts a fixed distribution at every position, and records the number of masks per step."""

    def predict(self, context, ids, masked):
        self.shown.append(masked.sum(1).tolist())
        prompted, *free = self.belief[:, None, None].expand(-1, self.rows, ids.shape[1], 5)
        return prompted if len(ids) == self.rows else torch.cat([prompted, *free])


def sample(rows, guidance=1.0, belief=None, **settings):
    model = built()
    objective = Known(**settings)
    objective.build(32, CODES)
    objective.shown = []
    objective.rows = rows
    context = Context(model.backbone, rows if guidance == 1 else 2 * rows).for_modality("codes", False)
    uniform = torch.zeros(2, 5)
    objective.belief = uniform if belief is None else belief
    request = Request(
        [generator_for(0, i) for i in range(rows)],
        length=8,
        guidance=guidance,
    )
    with torch.no_grad():
        return torch.stack(objective.sample(context, request)), objective.shown


@pytest.mark.parametrize(("steps", "expected"), [(1, [8]), (4, [8, 7, 5, 3]), (8, [8, 7, 6, 5, 4, 3, 2, 1])])
def test_unmasking_follows_the_cosine_schedule(steps, expected):
    _, shown = sample(3, steps=steps)
    assert shown == [[n] * 3 for n in expected]


def test_more_steps_than_tokens_unmask_one_token_per_step():
    assert len(sample(2, steps=100)[1]) == 8
    assert [row[0] for row in sample(2, steps=4, schedule="linear")[1]] == [8, 6, 4, 2]


def test_one_step_ids_follow_the_predicted_distribution():
    probability = torch.tensor([0.1, 0.4, 0.05, 0.3, 0.15])
    ids, _ = sample(500, belief=probability.log().expand(2, 5), steps=1)
    frequency = ids.flatten().bincount(minlength=5) / ids.numel()
    assert ((frequency - probability).abs() < 4 * (probability * (1 - probability) / ids.numel()).sqrt()).all()


def test_guidance_extrapolates_from_the_unconditional_logits():
    belief = torch.tensor([[0.0, 1.0, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0, 0.0]])
    ids, _ = sample(300, guidance=3.0, belief=belief, steps=1)
    frequency = ids.flatten().bincount(minlength=5) / ids.numel()
    torch.testing.assert_close(frequency, torch.tensor([-2.0, 3.0, 0, 0, 0]).softmax(-1), rtol=0, atol=0.04)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "steps is 0, wanted at least 1"),
        ({"choice_temperature": -1.0}, r"choice_temperature is -1\.0, wanted 0 or more"),
        ({"schedule": "sine"}, "schedule is 'sine', wanted 'cosine' or 'linear'"),
        ({"label_smoothing": 1.0}, r"label_smoothing is 1\.0, wanted from 0 to below 1"),
    ],
)
def test_invalid_settings_raise(settings, message):
    with pytest.raises(ValueError, match=message):
        MaskedToken(**settings)


def test_unmasked_targets_have_zero_loss():
    model = built()
    codes = model.objectives["codes"]
    embedded = Embedded(torch.zeros(8, 32), torch.arange(8) % 5, weight=torch.zeros(8))
    assert (codes.loss(torch.randn(8, 32), embedded) == 0).all()
