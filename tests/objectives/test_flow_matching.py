"""Flow matching: sampled times, prediction types, and the shift that training and sampling share."""

import pytest
import torch

from mot_lightning.noise import Noise
from mot_lightning.objectives import FlowMatching
from mot_lightning.objectives.flow_matching import EARLIEST
from mot_lightning.objectives.schedulers import make_scheduler
from mot_lightning.seeds import generator_for


def test_logit_normal_times_have_the_expected_quantiles():
    cap = torch.ones(20_000)
    t = FlowMatching(timestep_sampling="logit_normal", shift=1.0).sample_times(cap, Noise(torch.arange(len(cap))))
    quantiles = torch.tensor([0.1, 0.25, 0.5, 0.9])
    expected = torch.distributions.Normal(0, 1).icdf(quantiles).sigmoid()
    torch.testing.assert_close(t.quantile(quantiles), expected, rtol=0, atol=0.01)
    shifted = FlowMatching(timestep_sampling="logit_normal", shift=3.0).sample_times(
        cap / 2, Noise(torch.arange(len(cap)))
    )
    torch.testing.assert_close(shifted, 0.5 * 3 * t / (1 + 2 * t))


def test_x_0_loss_equals_the_error_of_the_implied_velocity():
    flow, objective = FlowMatching(), FlowMatching(prediction="x_0")
    times = torch.tensor([0.02, 0.05, 0.3, 1.0])
    x_0, noise, output = torch.randn(3, 4, 3, generator=generator_for(0))
    x_t, velocity = flow.corrupt(x_0, noise, times[:, None])
    _, target = objective.corrupt(x_0, noise, times[:, None])
    loss = (output - target).square().mean(-1) * objective.loss_weight(times)
    implied_velocity = objective.to_scheduler_output(output[:, None], x_t[:, None], times)[:, 0]
    expected = (implied_velocity - velocity).square().mean(-1)
    torch.testing.assert_close(loss[1:], expected[1:], rtol=1e-3, atol=1e-5)
    assert loss[0] == pytest.approx((output - x_0)[0].square().mean().item() / EARLIEST**2)  # clamped


def test_shift_applies_to_training_times_and_scheduler():
    cap, quantiles = torch.ones(4000), torch.tensor([0.25, 0.5, 0.75])
    for shift in (1.0, 3.0):
        objective = FlowMatching(shift=shift)
        sampled = objective.sample_times(cap, Noise(torch.arange(len(cap)))).quantile(quantiles)
        torch.testing.assert_close(sampled, shift * quantiles / (1 + (shift - 1) * quantiles), rtol=0, atol=0.03)
        assert make_scheduler(objective.scheduler).config.shift == shift
    assert (
        FlowMatching(shift=3.0).sample_times(cap / 2, Noise(torch.arange(len(cap)))) <= 0.5
    ).all()  # the cap still holds


def test_explicit_scheduler_shift_takes_precedence():
    explicit = {"class_path": "diffusers.FlowMatchEulerDiscreteScheduler", "init_args": {"shift": 2.0}}
    assert make_scheduler(FlowMatching(scheduler=explicit).scheduler).config.shift == 2.0
    without = {"class_path": "diffusers.FlowMatchLCMScheduler"}
    assert make_scheduler(FlowMatching(scheduler=without, shift=4.0).scheduler).config.shift == 4.0


def test_invalid_shift_raises():
    with pytest.raises(ValueError, match=r"shift is 0\.0, wanted above 0"):
        FlowMatching(shift=0.0)
