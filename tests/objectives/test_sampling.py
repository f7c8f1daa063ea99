"""Sampling by diffusers' schedulers: a network that is right gives back the data, and a bad scheduler is refused."""

import pytest
import torch
from conftest import TOKENS, make_model

from mot_lightning.generation import Context
from mot_lightning.objectives import Diffusion, FlowMatching
from mot_lightning.objectives.base import Request
from mot_lightning.seeds import generator_for


class PerfectFlow(FlowMatching):
    """Knows the data: its velocity leads straight there."""

    def predict(self, context, x_t, t, condition):
        return (x_t - self.x_0) / t[:, None, None]


class PerfectDiffusion(Diffusion):
    """Knows the data: what else is in x_t is noise."""

    def predict(self, context, x_t, t, condition):
        alpha_t = self.alphas_cumprod[(t * len(self.alphas_cumprod)).round().long()][:, None, None]
        noise = (x_t - alpha_t.sqrt() * self.x_0) / (1 - alpha_t).sqrt()
        velocity = alpha_t.sqrt() * noise - (1 - alpha_t).sqrt() * self.x_0
        return self.x_0 if self.prediction_type == "sample" else velocity


def sample(objective, x_0, seed=0):
    """What is sampled after one token."""
    objective.build(32, TOKENS["image"])
    objective.x_0 = x_0
    context = Context(make_model("token").backbone, len(x_0))
    with torch.no_grad():
        context.append(torch.ones(len(x_0), 1, 32), "text", True)
        generators = [generator_for(seed, i) for i in range(len(x_0))]
        found = objective.sample(context.speaking("image", False), Request(generators, length=4))
    assert context.lengths.tolist() == [1] * len(x_0)  # no noisy step stays; what was made is whoever asked's to append
    return torch.stack(found)


@pytest.fixture
def x_0():
    """Within [-1, 1], so that no scheduler's clipping bites."""
    return 2 * torch.rand(2, 4, 3, generator=generator_for(0)) - 1


def scheduler(name, **arguments):
    return {"class_path": f"diffusers.{name}", "init_args": arguments}


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"steps": 1},
        {"steps": 7},
        {"scheduler": scheduler("FlowMatchEulerDiscreteScheduler", shift=3.0)},
        {"scheduler": scheduler("FlowMatchHeunDiscreteScheduler")},
    ],
)
def test_flow_matching_with_the_right_velocity_gives_back_the_data(x_0, settings):
    torch.testing.assert_close(sample(PerfectFlow("token", **settings), x_0), x_0, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"steps": 8},
        {"scheduler": scheduler("DDIMScheduler")},
        {"scheduler": scheduler("DDIMScheduler", beta_schedule="scaled_linear", timestep_spacing="trailing")},
        {"scheduler": scheduler("DDPMScheduler")},
        {"scheduler": scheduler("DDPMScheduler", beta_schedule="squaredcos_cap_v2")},
        pytest.param(
            {"scheduler": scheduler("DPMSolverMultistepScheduler"), "steps": 10},
            marks=pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning"),  # diffusers' own, with numpy 2
        ),
    ],
)
@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction", "sample"])
def test_diffusion_with_the_right_prediction_gives_back_the_data(x_0, settings, prediction_type):
    # where the steps divide the schedule's 1000, the last one ends at alpha_t = 1: all that is left is rounding
    objective = PerfectDiffusion("token", prediction_type=prediction_type, **settings)
    torch.testing.assert_close(sample(objective, x_0), x_0, rtol=0, atol=1e-3)


def test_the_default_diffusion_reaches_as_far_as_the_data_do(x_0):
    torch.testing.assert_close(sample(PerfectDiffusion("token"), 4 * x_0), 4 * x_0, rtol=0, atol=4e-3)


@pytest.mark.parametrize("objective", [FlowMatching, Diffusion])
@pytest.mark.parametrize("time", ["norm", "token"])
def test_a_sample_depends_on_its_seed_alone(objective, time):
    built = objective(time, steps=3)
    model = make_model(time)
    built.build(32, TOKENS["image"])
    model.objectives["image"] = built

    def drawn(seed):
        context = Context(model.backbone, 1)
        with torch.no_grad():
            context.append(torch.ones(1, 1, 32), "text", True)
            voice = context.speaking("image", False)
            return built.sample(voice, Request([generator_for(seed)], length=4))[0]

    assert torch.equal(drawn(1), drawn(1))
    assert not torch.equal(drawn(1), drawn(2))


@pytest.mark.parametrize(
    ("objective", "settings", "message"),
    [
        (FlowMatching, {"scheduler": scheduler("NoSuchScheduler")}, "'diffusers.NoSuchScheduler' is not a scheduler"),
        (FlowMatching, {"scheduler": {"class_path": None}}, "None is not a scheduler of diffusers"),
        (Diffusion, {"scheduler": scheduler("UNet2DModel")}, "'diffusers.UNet2DModel' is not a scheduler"),
        (FlowMatching, {"scheduler": scheduler("FlowMatchEulerDiscreteScheduler", shfit=3)}, "know 'shfit', .*shift"),
        (
            Diffusion,
            {"scheduler": scheduler("DDIMScheduler", beta=3)},
            "DDIMScheduler does not know 'beta', wanted one",
        ),
        (
            Diffusion,
            {"scheduler": scheduler("DDIMScheduler", prediction_type="epsilon")},
            "predicts 'epsilon'",
        ),
        (Diffusion, {"scheduler": scheduler("DDPMScheduler", prediction_type="sample")}, "'sample', wanted 'v_pred"),
        (Diffusion, {"scheduler": scheduler("FlowMatchEulerDiscreteScheduler")}, "has no alphas_cumprod"),
        (FlowMatching, {"steps": 0}, "steps is 0, wanted at least 1"),
    ],
)
def test_what_cannot_sample_is_refused_in_one_line(objective, settings, message):
    with pytest.raises(ValueError, match=message) as refused:
        objective(**settings)
    assert "\n" not in str(refused.value)


def test_a_scheduler_needs_no_prefix():
    scheduler = {"class_path": "FlowMatchEulerDiscreteScheduler"}
    assert FlowMatching(scheduler=scheduler, shift=2.0).scheduler == {
        "class_path": "diffusers.FlowMatchEulerDiscreteScheduler",
        "init_args": {"shift": 2.0},
    }
