"""Diffusion: noise, data or velocity, how much each time weighs, and the schedule that training and sampling share."""

import pytest
import torch

from mot_lightning.objectives import Diffusion
from mot_lightning.objectives.schedulers import make_scheduler
from mot_lightning.seeds import generator_for

PREDICTIONS = ("epsilon", "v_prediction", "sample")
T = torch.arange(0, 1000, 37) / 1000


def noisy(objective):
    x_0, noise = torch.randn(2, len(T), 3, generator=generator_for(0))
    return x_0, noise, *objective.corrupt(x_0, noise, T[:, None])


@pytest.mark.parametrize("prediction_type", PREDICTIONS)
def test_a_right_prediction_is_one_that_the_scheduler_takes_for_the_data(prediction_type):
    """Training and sampling mean the same: the scheduler makes x_0 of the target at every time."""
    objective = Diffusion(prediction_type=prediction_type, scheduler={"init_args": {"clip_sample": False}})
    x_0, _, x_t, target = noisy(objective)
    scheduler = make_scheduler(objective.scheduler)
    scheduler.set_timesteps(1000)
    said = objective.to_scheduler_output(target[:, None], x_t[:, None], T)[:, 0]
    for i, t in enumerate(T[T < 0.9]):
        denoised = scheduler.step(said[i], round(1000 * t.item()), x_t[i]).pred_original_sample
        torch.testing.assert_close(denoised, x_0[i], rtol=1e-3, atol=2e-3)


@pytest.mark.parametrize("gamma", [0.5, 5.0])
def test_min_snr_weighs_the_same_error_of_the_data_alike_whatever_is_predicted(gamma):
    """arXiv 2303.09556: all three losses are that of x_0, weighed by min(SNR, gamma)."""
    losses = []
    for prediction_type in PREDICTIONS:
        objective = Diffusion(prediction_type=prediction_type, min_snr_gamma=gamma)
        x_0, _, x_t, target = noisy(objective)
        wrong = x_0 + 0.1  # what the network believes, said in its own words
        alpha = objective.alpha(T)[:, None]
        epsilon = (x_t - alpha.sqrt() * wrong) / (1 - alpha).sqrt()
        said = wrong if prediction_type == "sample" else alpha.sqrt() * epsilon - (1 - alpha).sqrt() * wrong
        losses.append((said - target).square().mean(-1) * objective.loss_weight(T))
    snr = (alpha / (1 - alpha))[:, 0]
    for loss in losses:
        torch.testing.assert_close(loss, snr.clamp(max=gamma) * 0.01, rtol=2e-2, atol=1e-6)


def test_without_min_snr_all_times_weigh_alike():
    for prediction_type in ("sample", "v_prediction"):
        assert Diffusion(prediction_type=prediction_type).loss_weight(T) is None


def test_predicting_the_noise_is_scored_by_the_noise_that_follows():
    objective = Diffusion(prediction_type="epsilon")
    _, noise, x_t, target = noisy(objective)
    said = target + 0.1 * torch.randn(target.shape, generator=generator_for(1))
    followed = objective.to_scheduler_output(said[:, None], x_t[:, None], T)[:, 0]
    expected = (followed - noise).square().mean(-1)
    torch.testing.assert_close(
        (said - target).square().mean(-1) * objective.loss_weight(T), expected, rtol=1e-3, atol=1e-6
    )


def test_a_network_that_says_nothing_has_found_almost_all_noise_where_there_is_almost_nothing_else():
    """What it has to copy of its input is an error of the data when divided by what is left of them."""
    objective = Diffusion(prediction_type="epsilon")
    x_0, _, x_t, _ = noisy(objective)
    scheduler = make_scheduler(objective.scheduler)
    scheduler.set_timesteps(1000)
    for i in (len(T) - 3, len(T) - 1):
        said = objective.to_scheduler_output(torch.zeros(1, 1, 3), x_t[None, None, i], T[i : i + 1])[0, 0]
        denoised = scheduler.step(said, round(1000 * T[i].item()), x_t[i]).pred_original_sample
        assert (denoised - x_0[i]).abs().max() < 2 * (1 + x_0[i].abs().max())  # and no more, however little is left


def test_one_setting_drives_training_and_sampling():
    assert Diffusion(prediction_type="sample").scheduler["init_args"]["prediction_type"] == "sample"
    explicit = {"class_path": "diffusers.DDPMScheduler", "init_args": {"prediction_type": "v_prediction"}}
    assert Diffusion(prediction_type="v_prediction", scheduler=explicit).scheduler == explicit
    with pytest.raises(ValueError, match="DDPMScheduler predicts 'v_prediction', wanted 'sample'"):
        Diffusion(prediction_type="sample", scheduler=explicit)


@pytest.mark.parametrize("schedule", ["linear", "scaled_linear", "squaredcos_cap_v2"])
def test_the_schedule_trained_on_is_the_schedulers(schedule):
    objective = Diffusion(scheduler={"init_args": {"beta_schedule": schedule}})
    assert torch.equal(objective.alphas_cumprod, make_scheduler(objective.scheduler).alphas_cumprod)


def test_a_schedule_that_ends_in_pure_noise_serves_all_but_epsilon():
    zero = {"init_args": {"rescale_betas_zero_snr": True, "beta_schedule": "linear"}}
    objective = Diffusion(prediction_type="v_prediction", scheduler=zero, min_snr_gamma=5.0)
    x_0, noise = torch.randn(2, 1, 3)
    x_t, target = objective.corrupt(x_0, noise, torch.tensor([[0.999]]))
    assert torch.equal(x_t, noise)
    assert torch.equal(target, -x_0)
    assert objective.loss_weight(torch.tensor([0.0, 0.5, 0.999])).isfinite().all()
    with pytest.raises(ValueError, match="prediction_type is 'epsilon', wanted another"):
        Diffusion(prediction_type="epsilon", scheduler=zero)


def test_a_scheduler_that_cannot_serve_the_prediction_is_refused_before_training():
    with pytest.raises(ValueError, match="EulerAncestralDiscreteScheduler cannot make a step"):
        Diffusion(prediction_type="sample", scheduler="EulerAncestralDiscreteScheduler")


@pytest.mark.parametrize("gamma", [0.0, -5.0])
def test_a_gamma_out_of_range_is_refused(gamma):
    with pytest.raises(ValueError, match=f"min_snr_gamma is {gamma}, wanted above 0, or null"):
        Diffusion(min_snr_gamma=gamma)


def test_default_predicts_v_and_samples_in_50_ddim_steps():
    objective = Diffusion()
    assert (objective.prediction_type, objective.steps, objective.min_snr_gamma) == ("v_prediction", 50, None)
    assert type(make_scheduler(objective.scheduler)).__name__ == "DDIMScheduler"
