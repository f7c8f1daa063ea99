"""Which diffusers schedulers fit which objective; others raise at construction."""

import pytest
import torch
from conftest import TOKENS, make_model
from properties import plain

from mot_lightning.generation import generate
from mot_lightning.objectives import Diffusion, FlowMatching, NextLatent
from mot_lightning.objectives.schedulers import make_scheduler


def scheduler(name, **init_args):
    return {"class_path": f"diffusers.{name}", "init_args": init_args}


@pytest.mark.parametrize("name", ["DDIMScheduler", "EulerDiscreteScheduler", "DDPMScheduler"])
def test_flow_matching_rejects_diffusion_schedulers(name):
    with pytest.raises(ValueError, match=name):
        FlowMatching(scheduler=name)


def test_another_scheduler_class_drops_the_default_arguments():
    objective = Diffusion(scheduler="DPMSolverMultistepScheduler")
    assert objective.scheduler == {
        "class_path": "DPMSolverMultistepScheduler",
        "init_args": {"prediction_type": objective.prediction_type},
    }


def test_scheduler_arguments_alone_keep_the_default_class():
    objective = Diffusion(scheduler={"init_args": {"clip_sample_range": 3.0}})
    assert objective.scheduler["class_path"] == "diffusers.DDIMScheduler"
    assert objective.scheduler["init_args"]["clip_sample_range"] == 3.0
    assert objective.scheduler["init_args"]["timestep_spacing"] == "trailing"


def test_more_steps_than_train_timesteps_raise():
    with pytest.raises(ValueError, match="2000 steps"):
        Diffusion(steps=2000)


def test_invalid_scheduler_argument_value_raises():
    with pytest.raises(ValueError, match="foo"):
        Diffusion(scheduler=scheduler("DDPMScheduler", beta_schedule="foo"))


@pytest.mark.parametrize(
    ("objective", "settings", "message"),
    [
        (FlowMatching, {"scheduler": scheduler("NoSuchScheduler")}, "'diffusers.NoSuchScheduler' is not a scheduler"),
        (FlowMatching, {"scheduler": {"class_path": None}}, "None is not a scheduler of diffusers"),
        (Diffusion, {"scheduler": scheduler("UNet2DModel")}, "'diffusers.UNet2DModel' is not a scheduler"),
        (FlowMatching, {"scheduler": scheduler("FlowMatchEulerDiscreteScheduler", shfit=3)}, "'shfit', .*shift"),
        (
            Diffusion,
            {"scheduler": scheduler("DDIMScheduler", beta=3)},
            "DDIMScheduler has no argument 'beta', wanted one",
        ),
        (
            Diffusion,
            {"scheduler": scheduler("DDIMScheduler", prediction_type="epsilon")},
            "predicts 'epsilon'",
        ),
        (Diffusion, {"scheduler": scheduler("DDPMScheduler", prediction_type="sample")}, "'sample', wanted 'v_pred"),
        (Diffusion, {"scheduler": scheduler("FlowMatchEulerDiscreteScheduler")}, "has no alphas_cumprod"),
        *(
            (
                kind,
                {"scheduler": scheduler("UniPCMultistepScheduler", **settings)},
                "UniPCMultistepScheduler is not for flow",
            )
            for kind in (FlowMatching, NextLatent)
            for settings in ({}, {"prediction_type": "flow_prediction"}, {"use_flow_sigmas": True})
        ),
        (FlowMatching, {"steps": 0}, "steps is 0, wanted at least 1"),
    ],
)
def test_invalid_scheduler_raises_a_one_line_error(objective, settings, message):
    with pytest.raises(ValueError, match=message) as refused:
        objective(**settings)
    assert "\n" not in str(refused.value)


def test_scheduler_name_without_prefix_is_resolved():
    named = {"class_path": "FlowMatchEulerDiscreteScheduler"}
    assert FlowMatching(scheduler=named, shift=2.0).scheduler == {
        "class_path": "diffusers.FlowMatchEulerDiscreteScheduler",
        "init_args": {"shift": 2.0},
    }


def test_stochastic_scheduler_is_reproducible_by_seed():
    model = make_model("additive")
    objective = Diffusion("additive", scheduler=scheduler("DDPMScheduler"), steps=5)
    objective.build(32, TOKENS["image"])
    model.objectives["image"] = objective
    settings = plain(("image",))
    one, two = (generate(model, [[]], settings)[0][0].tokens for _ in range(2))
    torch.testing.assert_close(one, two)


@pytest.mark.parametrize("kind", [FlowMatching, NextLatent])
def test_a_solver_of_higher_order_samples_flows(kind):
    """At the true velocity of one point, x_0, every step ends there."""
    flow = {"prediction_type": "flow_prediction", "use_flow_sigmas": True, "flow_shift": 1.0}
    objective = kind(scheduler=scheduler("UniPCMultistepScheduler", **flow), steps=6)
    sampler, x_0 = make_scheduler(objective.scheduler), torch.tensor([[[2.0, -1.0]]])
    sampler.set_timesteps(objective.steps)
    x_t = noise = torch.tensor([[[0.3, 0.4]]])
    for timestep in sampler.timesteps:
        x_t = sampler.step(noise - x_0, timestep, x_t).prev_sample
    torch.testing.assert_close(x_t, x_0, rtol=0, atol=0.02)
