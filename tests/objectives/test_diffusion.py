"""Diffusion: prediction types, loss weights, and the noise schedule that training and sampling share."""

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
def test_scheduler_recovers_the_data_from_the_exact_target(prediction_type):
    """Training and sampling are consistent: at every time, the scheduler computes x_0 from the target."""
    objective = Diffusion(prediction_type=prediction_type, scheduler={"init_args": {"clip_sample": False}})
    x_0, _, x_t, target = noisy(objective)
    scheduler = make_scheduler(objective.scheduler)
    scheduler.set_timesteps(1000)
    prediction = objective.to_scheduler_output(target[:, None], x_t[:, None], T)[:, 0]
    for i, t in enumerate(T[T < 0.9]):
        denoised = scheduler.step(prediction[i], round(1000 * t.item()), x_t[i]).pred_original_sample
        torch.testing.assert_close(denoised, x_0[i], rtol=1e-3, atol=2e-3)


@pytest.mark.parametrize("gamma", [0.5, 5.0])
def test_min_snr_loss_is_equal_for_all_prediction_types(gamma):
    """arXiv 2303.09556: all three losses are that of x_0, weighted by min(SNR, gamma)."""
    losses = []
    for prediction_type in PREDICTIONS:
        objective = Diffusion(prediction_type=prediction_type, min_snr_gamma=gamma)
        x_0, _, x_t, target = noisy(objective)
        estimate = x_0 + 0.1  # converted to each prediction type below
        alpha = objective.alpha(T)[:, None]
        epsilon = (x_t - alpha.sqrt() * estimate) / (1 - alpha).sqrt()
        prediction = estimate if prediction_type == "sample" else alpha.sqrt() * epsilon - (1 - alpha).sqrt() * estimate
        losses.append((prediction - target).square().mean(-1) * objective.loss_weight(T))
    snr = (alpha / (1 - alpha))[:, 0]
    for loss in losses:
        torch.testing.assert_close(loss, snr.clamp(max=gamma) * 0.01, rtol=2e-2, atol=1e-6)


def test_times_are_weighted_equally_without_min_snr():
    for prediction_type in ("sample", "v_prediction"):
        assert Diffusion(prediction_type=prediction_type).loss_weight(T) is None


def test_epsilon_loss_equals_the_error_of_the_implied_noise():
    objective = Diffusion(prediction_type="epsilon")
    _, noise, x_t, target = noisy(objective)
    prediction = target + 0.1 * torch.randn(target.shape, generator=generator_for(1))
    implied_noise = objective.to_scheduler_output(prediction[:, None], x_t[:, None], T)[:, 0]
    expected = (implied_noise - noise).square().mean(-1)
    torch.testing.assert_close(
        (prediction - target).square().mean(-1) * objective.loss_weight(T), expected, rtol=1e-3, atol=1e-6
    )


def test_zero_epsilon_output_gives_bounded_x_0_at_high_noise():
    """Epsilon is sqrt(1 - alpha_t) x_t + sqrt(alpha_t) output, so a small alpha_t does not amplify errors of x_0."""
    objective = Diffusion(prediction_type="epsilon")
    x_0, _, x_t, _ = noisy(objective)
    scheduler = make_scheduler(objective.scheduler)
    scheduler.set_timesteps(1000)
    for i in (len(T) - 3, len(T) - 1):
        prediction = objective.to_scheduler_output(torch.zeros(1, 1, 3), x_t[None, None, i], T[i : i + 1])[0, 0]
        denoised = scheduler.step(prediction, round(1000 * T[i].item()), x_t[i]).pred_original_sample
        assert (denoised - x_0[i]).abs().max() < 2 * (1 + x_0[i].abs().max())  # bounded, even for alpha_t near 0


def test_prediction_type_is_passed_to_the_scheduler():
    assert Diffusion(prediction_type="sample").scheduler["init_args"]["prediction_type"] == "sample"
    explicit = {"class_path": "diffusers.DDPMScheduler", "init_args": {"prediction_type": "v_prediction"}}
    assert Diffusion(prediction_type="v_prediction", scheduler=explicit).scheduler == explicit
    with pytest.raises(ValueError, match="DDPMScheduler predicts 'v_prediction', wanted 'sample'"):
        Diffusion(prediction_type="sample", scheduler=explicit)


@pytest.mark.parametrize("schedule", ["linear", "scaled_linear", "squaredcos_cap_v2"])
def test_training_uses_the_noise_schedule_of_the_scheduler(schedule):
    objective = Diffusion(scheduler={"init_args": {"beta_schedule": schedule}})
    assert torch.equal(objective.alphas_cumprod, make_scheduler(objective.scheduler).alphas_cumprod)


def test_zero_terminal_snr_supports_v_prediction_but_not_epsilon():
    zero = {"init_args": {"rescale_betas_zero_snr": True, "beta_schedule": "linear"}}
    objective = Diffusion(prediction_type="v_prediction", scheduler=zero, min_snr_gamma=5.0)
    x_0, noise = torch.randn(2, 1, 3)
    x_t, target = objective.corrupt(x_0, noise, torch.tensor([[0.999]]))
    assert torch.equal(x_t, noise)
    assert torch.equal(target, -x_0)
    assert objective.loss_weight(torch.tensor([0.0, 0.5, 0.999])).isfinite().all()
    with pytest.raises(ValueError, match="prediction_type is 'epsilon', wanted another"):
        Diffusion(prediction_type="epsilon", scheduler=zero)


def test_scheduler_without_the_prediction_type_raises_at_construction():
    with pytest.raises(ValueError, match="EulerAncestralDiscreteScheduler cannot make a step"):
        Diffusion(prediction_type="sample", scheduler="EulerAncestralDiscreteScheduler")


@pytest.mark.parametrize("gamma", [0.0, -5.0])
def test_invalid_min_snr_gamma_raises(gamma):
    with pytest.raises(ValueError, match=f"min_snr_gamma is {gamma}, wanted above 0, or null"):
        Diffusion(min_snr_gamma=gamma)


def test_default_predicts_v_and_samples_in_50_ddim_steps():
    objective = Diffusion()
    assert (objective.prediction_type, objective.steps, objective.min_snr_gamma) == ("v_prediction", 50, None)
    assert type(make_scheduler(objective.scheduler)).__name__ == "DDIMScheduler"
