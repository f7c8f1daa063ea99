"""What denoisers are asked for: noise, data or velocity, and how much each time weighs."""

import pytest
import torch
import torch.nn.functional as F
from conftest import SMALL, TOKENS

from mot_lightning.model import MixtureOfTransformers
from mot_lightning.objectives import Diffusion, FlowMatching, NextToken
from mot_lightning.objectives.base import View
from mot_lightning.objectives.flow_matching import EARLIEST
from mot_lightning.objectives.latent_io import UNetIO
from mot_lightning.objectives.scheduler import make_scheduler
from mot_lightning.packing import pack
from mot_lightning.seeds import generator_for
from mot_lightning.sequence import Segment, Tokens

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
    said = objective.for_scheduler(target[:, None], x_t[:, None], T)[:, 0]
    for i, t in enumerate(T[T < 0.9]):
        found = scheduler.step(said[i], round(1000 * t.item()), x_t[i]).pred_original_sample
        torch.testing.assert_close(found, x_0[i], rtol=1e-3, atol=2e-3)


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
        losses.append((said - target).square().mean(-1) * objective.weigh(T))
    snr = (alpha / (1 - alpha))[:, 0]
    for loss in losses:
        torch.testing.assert_close(loss, snr.clamp(max=gamma) * 0.01, rtol=2e-2, atol=1e-6)


def test_without_min_snr_all_times_weigh_alike():
    for prediction_type in ("sample", "v_prediction"):
        assert Diffusion(prediction_type=prediction_type).weigh(T) is None


def test_predicting_the_noise_is_scored_by_the_noise_that_follows():
    objective = Diffusion(prediction_type="epsilon")
    _, noise, x_t, target = noisy(objective)
    said = target + 0.1 * torch.randn(target.shape, generator=generator_for(1))
    followed = objective.for_scheduler(said[:, None], x_t[:, None], T)[:, 0]
    expected = (followed - noise).square().mean(-1)
    torch.testing.assert_close((said - target).square().mean(-1) * objective.weigh(T), expected, rtol=1e-3, atol=1e-6)


def test_a_network_that_says_nothing_has_found_almost_all_noise_where_there_is_almost_nothing_else():
    """What it has to copy of its input is an error of the data when divided by what is left of them."""
    objective = Diffusion(prediction_type="epsilon")
    x_0, _, x_t, _ = noisy(objective)
    scheduler = make_scheduler(objective.scheduler)
    scheduler.set_timesteps(1000)
    for i in (len(T) - 3, len(T) - 1):
        said = objective.for_scheduler(torch.zeros(1, 1, 3), x_t[None, None, i], T[i : i + 1])[0, 0]
        found = scheduler.step(said, round(1000 * T[i].item()), x_t[i]).pred_original_sample
        assert (found - x_0[i]).abs().max() < 2 * (1 + x_0[i].abs().max())  # and no more, however little is left


def test_one_setting_drives_training_and_sampling():
    assert Diffusion(prediction_type="sample").scheduler["init_args"]["prediction_type"] == "sample"
    own = {"class_path": "diffusers.DDPMScheduler", "init_args": {"prediction_type": "v_prediction"}}
    assert Diffusion(prediction_type="v_prediction", scheduler=own).scheduler == own
    with pytest.raises(ValueError, match="DDPMScheduler predicts 'v_prediction', wanted 'sample'"):
        Diffusion(prediction_type="sample", scheduler=own)


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
    assert objective.weigh(torch.tensor([0.0, 0.5, 0.999])).isfinite().all()
    with pytest.raises(ValueError, match="prediction_type is 'epsilon', wanted another"):
        Diffusion(prediction_type="epsilon", scheduler=zero)


def test_a_scheduler_that_cannot_serve_the_prediction_is_refused_before_training():
    with pytest.raises(ValueError, match="EulerAncestralDiscreteScheduler cannot make a step"):
        Diffusion(prediction_type="sample", scheduler="EulerAncestralDiscreteScheduler")


@pytest.mark.parametrize("gamma", [0.0, -5.0])
def test_a_gamma_out_of_range_is_refused(gamma):
    with pytest.raises(ValueError, match=f"min_snr_gamma is {gamma}, wanted above 0, or null"):
        Diffusion(min_snr_gamma=gamma)


def test_logit_normal_times_prefer_the_middle_of_the_path():
    cap = torch.ones(20_000)
    t = FlowMatching(times="logit_normal", shift=1.0).draw_times(cap, generator_for(0))
    quantiles = torch.tensor([0.1, 0.25, 0.5, 0.9])
    expected = torch.distributions.Normal(0, 1).icdf(quantiles).sigmoid()
    torch.testing.assert_close(t.quantile(quantiles), expected, rtol=0, atol=0.01)
    shifted = FlowMatching(times="logit_normal", shift=3.0).draw_times(cap / 2, generator_for(0))
    torch.testing.assert_close(shifted, 0.5 * 3 * t / (1 + 2 * t))


def test_predicting_the_data_is_scored_by_the_velocity_that_follows():
    flow, objective = FlowMatching(), FlowMatching(prediction="x_0")
    times = torch.tensor([0.02, 0.05, 0.3, 1.0])
    x_0, noise, said = torch.randn(3, 4, 3, generator=generator_for(0))
    x_t, velocity = flow.corrupt(x_0, noise, times[:, None])
    _, target = objective.corrupt(x_0, noise, times[:, None])
    found = (said - target).square().mean(-1) * objective.weigh(times)
    followed = objective.for_scheduler(said[:, None], x_t[:, None], times)[:, 0]
    expected = (followed - velocity).square().mean(-1)
    torch.testing.assert_close(found[1:], expected[1:], rtol=1e-3, atol=1e-5)
    assert found[0] == pytest.approx((said - x_0)[0].square().mean().item() / EARLIEST**2)  # divided by no less


def latents(segments, **others):
    drawn = torch.randn(segments, 4, 3, generator=generator_for(5))
    return [[Segment("image", own, **others)] for own in drawn]


def with_unet(**settings):
    torch.manual_seed(0)
    objectives = {"text": NextToken(), "image": FlowMatching(io="unet", **settings)}
    return MixtureOfTransformers(objectives, {n: TOKENS[n] for n in objectives}, "text", SMALL)


def test_a_u_net_joins_each_image_and_no_two():
    model = with_unet()
    image, part = model.objectives["image"], pack(latents(3), model.grammar, 16).parts["image"]
    torch.nn.init.normal_(image.io.output.weight)
    view = image.embed(part, generator_for(0))
    other = image.embed(
        part._replace(tokens=part.tokens.clone().index_fill_(0, torch.tensor([5]), 2.0)), generator_for(0)
    )
    moved = (view.embedding - other.embedding).abs().amax(-1).view(3, 4)
    assert (moved[1] > 1e-4).all()
    assert (moved[[0, 2]] < 1e-5).all()
    hidden = torch.randn(12, 32, generator=generator_for(1))
    changed = hidden.clone()
    changed[5] += 1
    moved = (image.loss(hidden, view) - image.loss(changed, view)).abs().view(3, 4)
    assert (moved[1] > 1e-5).all()
    assert (moved[[0, 2]] < 1e-5).all()


@pytest.mark.parametrize("time", ["norm", "token"])
def test_a_u_net_knows_the_time_on_its_way_out(time):
    model = with_unet(time=time)
    io = model.objectives["image"].io
    torch.nn.init.normal_(io.output.weight)
    x, hidden = torch.randn(4, 3), torch.randn(4, 32)
    early, late = (model.objectives["image"].time(torch.tensor([t])) for t in (0.1, 0.9))
    _, skip = io.enter(x, early)
    assert not torch.allclose(io.leave(hidden, skip), io.leave(hidden, (skip[0], late)), atol=1e-4)


def test_a_u_net_of_no_image_leaves_a_gradient_of_zero():
    model = with_unet()
    batch = pack([[Segment("text", torch.arange(3))]], model.grammar, 16)
    sum(own.loss.sum() for own in model(batch, generator_for(0)).values()).backward()
    gradients = [p.grad for p in model.objectives["image"].io.parameters()]
    assert all(gradient is not None and not gradient.any() for gradient in gradients)


def test_what_goes_in_as_an_image_comes_out_in_the_same_order():
    io = UNetIO(8, Tokens(latent_dim=4, length=6, grid=(2, 3), patch_size=2))
    x = torch.arange(48.0).view(12, 4)  # two segments
    grid = F.pixel_shuffle(io._grid(x, 2), 2)
    assert grid.shape == (2, 1, 4, 6)
    assert grid[0, 0, :2, :2].flatten().tolist() == x[0].tolist()
    assert torch.equal(io._rows(F.pixel_unshuffle(grid, 2)), x)


def test_a_u_net_without_a_grid_is_refused():
    tokens = {"text": TOKENS["text"], "image": Tokens(latent_dim=3, length=4)}
    with pytest.raises(ValueError, match="io is 'unet', wanted 'linear': the codec's tokens lie on no grid"):
        MixtureOfTransformers({"text": NextToken(), "image": FlowMatching(io="unet")}, tokens, "text", SMALL)


def test_weights_of_a_view_multiply_its_loss():
    objective = FlowMatching()
    objective.build(8, TOKENS["image"])
    hidden, target = torch.randn(4, 8), torch.randn(4, 3)
    plain = objective.loss(hidden, View(hidden, target))
    weighed = objective.loss(hidden, View(hidden, target, weight=torch.arange(4.0)))
    torch.testing.assert_close(weighed, plain * torch.arange(4.0))
