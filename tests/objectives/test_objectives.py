"""Every objective learns, and its draws depend on nothing but their generator."""

import numpy as np
import pytest
import torch
from conftest import SMALL, TOKENS, make_document
from hypothesis import given, settings
from hypothesis import strategies as st
from properties import total_loss

from mot_lightning.model import MixtureOfTransformers
from mot_lightning.objectives import Diffusion, FlowMatching, NextToken
from mot_lightning.objectives.scheduler import make_scheduler
from mot_lightning.packing import pack
from mot_lightning.seeds import generator_for, mix
from mot_lightning.sequence import Segment

DENOISERS = [(FlowMatching, "norm"), (FlowMatching, "token"), (Diffusion, "norm"), (Diffusion, "token")]
every_denoiser = pytest.mark.parametrize(("objective", "time"), DENOISERS)


def fresh(objective):
    """A model as it is before training, of text and of what the objective learns."""
    name = "speech" if objective.discrete else "image"
    torch.manual_seed(0)
    tokens = {"text": TOKENS["text"], name: TOKENS[name]}
    return MixtureOfTransformers({"text": NextToken(), name: objective}, tokens, "text", SMALL), name


def fit(model, batch, steps):
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = total_loss(model, batch, seed=0)
        loss.backward()
        optimizer.step()


@pytest.mark.parametrize(("objective", "time"), [(NextToken, None), *DENOISERS])
def test_one_batch_is_learned_by_heart(objective, time):
    model, name = fresh(objective(time=time) if time else objective())
    rng = np.random.default_rng(0)
    batch = pack([make_document(rng, ["text", name]) for _ in range(3)], model.grammar, 64)
    with torch.no_grad():
        start = model(batch, generator_for(0))
        fit_to = start[name].loss.mean()
        if time:  # the loss of answering zero to this noise
            target = model.objectives[name].embed(batch.parts[name], generator_for(0)).target
            torch.testing.assert_close(fit_to, target.square().mean())
    fit(model, batch, 40)
    with torch.no_grad():
        end = model(batch, generator_for(0))
    assert end[name].loss.mean() < 0.1 * fit_to
    content = start["text"].content  # what begins next is the same in all documents
    assert end["text"].loss[~content].mean() < 0.1 * start["text"].loss[~content].mean()


def part(model, *segments):
    return pack([[segment] for segment in segments], model.grammar, 64).parts["image"]


def images(n, **others):
    latents = torch.randn(n, 4, 3, generator=generator_for(5))
    return [Segment("image", own, **others) for own in latents]


@every_denoiser
def test_the_same_seed_gives_the_same_view(objective, time):
    model, _ = fresh(objective(time=time))
    found = part(model, *images(3))
    views = [model.objectives["image"].embed(found, generator_for(seed)) for seed in (1, 1, 2)]
    for one, again, other in zip(*views, strict=True):
        if isinstance(one, torch.Tensor):
            assert torch.equal(one, again)
            assert not torch.equal(one, other)


@every_denoiser
@pytest.mark.parametrize("cap", [0.0, 0.3, 1.0])
def test_no_segment_is_noisier_than_its_cap(objective, time, cap):
    model, _ = fresh(objective(time=time))
    t = model.objectives["image"].draw_times(torch.full((500,), cap), generator_for(0))
    assert (t >= 0).all()
    assert (t <= cap + 1e-6).all()
    assert t.max() >= 0.95 * cap  # and the cap is used up
    mean = 1.5 - 0.75 * np.log(3) if objective is FlowMatching else 0.5  # of 3 t / (1 + 2 t)
    assert t.mean() == pytest.approx(cap * mean, abs=0.05)


@every_denoiser
def test_clean_segments_are_shown_as_they_are_at_time_zero(objective, time):
    model, _ = fresh(objective(time=time))
    image = model.objectives["image"]
    clean, noisy = images(2, loss=False), images(2)
    view = image.embed(part(model, clean[0], noisy[1]), generator_for(0))
    embedding, condition = image.embed_clean(torch.stack([clean[0].tokens, noisy[1].tokens]))
    torch.testing.assert_close(view.embedding[:4], embedding[0])
    assert (view.embedding[4:] - embedding[1]).abs().max() > 1e-3
    assert (view.condition is None) == (time == "token")
    if condition is not None:
        torch.testing.assert_close(view.condition[0], condition[0])
        assert (view.condition[1] - condition[0]).abs().max() > 1e-4


@every_denoiser
def test_what_is_asked_follows_from_what_is_shown(objective, time):
    """The clean latents come back from noisy ones and their target, by the equation of each objective."""
    model, _ = fresh(objective(time=time))
    image = model.objectives["image"]
    x_0, noise = torch.randn(2, 50, 3, generator=generator_for(0))
    t = image.draw_times(torch.full((50,), 0.9), generator_for(1))[:, None]
    x_t, target = image.corrupt(x_0, noise, t)
    if objective is FlowMatching:
        back = x_t - t * target
    else:
        alpha_t = image.alphas_cumprod[(1000 * t).round().long()]
        back = alpha_t.sqrt() * x_t - (1 - alpha_t).sqrt() * target
        torch.testing.assert_close(target, alpha_t.sqrt() * noise - (1 - alpha_t).sqrt() * x_0)
    torch.testing.assert_close(back, x_0, rtol=1e-3, atol=1e-4)


@given(st.lists(st.integers(0, 2**40), min_size=2, max_size=4, unique=True), st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_seeds_depend_on_the_order_of_their_numbers(numbers, random):
    permuted = random.sample(numbers, len(numbers))
    assert (mix(*numbers) == mix(*permuted)) == (numbers == permuted)
    assert 0 <= mix(*numbers) < 2**63


def test_seeds_of_neighbours_differ():
    seeds = {mix(seed, step, rank) for seed in range(10) for step in range(50) for rank in range(4)}
    assert len(seeds) == 10 * 50 * 4


def test_a_shift_moves_times_towards_noise_in_training_and_in_sampling():
    cap, quantiles = torch.ones(4000), torch.tensor([0.25, 0.5, 0.75])
    for shift in (1.0, 3.0):
        objective = FlowMatching(shift=shift)
        drawn = objective.draw_times(cap, generator_for(0)).quantile(quantiles)
        torch.testing.assert_close(drawn, shift * quantiles / (1 + (shift - 1) * quantiles), rtol=0, atol=0.03)
        assert make_scheduler(objective.scheduler).config.shift == shift
    assert (FlowMatching(shift=3.0).draw_times(cap / 2, generator_for(0)) <= 0.5).all()  # the cap stays one


def test_a_scheduler_keeps_the_shift_that_it_is_given():
    own = {"class_path": "diffusers.FlowMatchEulerDiscreteScheduler", "init_args": {"shift": 2.0}}
    assert make_scheduler(FlowMatching(scheduler=own).scheduler).config.shift == 2.0
    without = {"class_path": "diffusers.FlowMatchLCMScheduler"}
    assert make_scheduler(FlowMatching(scheduler=without, shift=4.0).scheduler).config.shift == 4.0


def test_a_shift_out_of_range_is_refused():
    with pytest.raises(ValueError, match=r"shift is 0\.0, wanted above 0"):
        FlowMatching(shift=0.0)
