"""Flow matching: at which times it learns, what it predicts, and the shift that training and sampling share."""

import pytest
import torch

from mot_lightning.objectives import FlowMatching
from mot_lightning.objectives.flow_matching import EARLIEST
from mot_lightning.objectives.schedulers import make_scheduler
from mot_lightning.seeds import generator_for


def test_logit_normal_times_prefer_the_middle_of_the_path():
    cap = torch.ones(20_000)
    t = FlowMatching(timestep_sampling="logit_normal", shift=1.0).sample_times(cap, generator_for(0))
    quantiles = torch.tensor([0.1, 0.25, 0.5, 0.9])
    expected = torch.distributions.Normal(0, 1).icdf(quantiles).sigmoid()
    torch.testing.assert_close(t.quantile(quantiles), expected, rtol=0, atol=0.01)
    shifted = FlowMatching(timestep_sampling="logit_normal", shift=3.0).sample_times(cap / 2, generator_for(0))
    torch.testing.assert_close(shifted, 0.5 * 3 * t / (1 + 2 * t))


def test_predicting_the_data_is_scored_by_the_velocity_that_follows():
    flow, objective = FlowMatching(), FlowMatching(prediction="x_0")
    times = torch.tensor([0.02, 0.05, 0.3, 1.0])
    x_0, noise, said = torch.randn(3, 4, 3, generator=generator_for(0))
    x_t, velocity = flow.corrupt(x_0, noise, times[:, None])
    _, target = objective.corrupt(x_0, noise, times[:, None])
    loss = (said - target).square().mean(-1) * objective.loss_weight(times)
    followed = objective.to_scheduler_output(said[:, None], x_t[:, None], times)[:, 0]
    expected = (followed - velocity).square().mean(-1)
    torch.testing.assert_close(loss[1:], expected[1:], rtol=1e-3, atol=1e-5)
    assert loss[0] == pytest.approx((said - x_0)[0].square().mean().item() / EARLIEST**2)  # divided by no less


def test_a_shift_moves_times_towards_noise_in_training_and_in_sampling():
    cap, quantiles = torch.ones(4000), torch.tensor([0.25, 0.5, 0.75])
    for shift in (1.0, 3.0):
        objective = FlowMatching(shift=shift)
        drawn = objective.sample_times(cap, generator_for(0)).quantile(quantiles)
        torch.testing.assert_close(drawn, shift * quantiles / (1 + (shift - 1) * quantiles), rtol=0, atol=0.03)
        assert make_scheduler(objective.scheduler).config.shift == shift
    assert (FlowMatching(shift=3.0).sample_times(cap / 2, generator_for(0)) <= 0.5).all()  # the cap stays one


def test_a_scheduler_keeps_the_shift_that_it_is_given():
    explicit = {"class_path": "diffusers.FlowMatchEulerDiscreteScheduler", "init_args": {"shift": 2.0}}
    assert make_scheduler(FlowMatching(scheduler=explicit).scheduler).config.shift == 2.0
    without = {"class_path": "diffusers.FlowMatchLCMScheduler"}
    assert make_scheduler(FlowMatching(scheduler=without, shift=4.0).scheduler).config.shift == 4.0


def test_a_shift_out_of_range_is_refused():
    with pytest.raises(ValueError, match=r"shift is 0\.0, wanted above 0"):
        FlowMatching(shift=0.0)
