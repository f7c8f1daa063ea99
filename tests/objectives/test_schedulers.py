"""Which diffusers schedulers fit which objective: what does not is refused when it is named, not when it samples."""

import pytest
import torch
from conftest import TOKENS, make_model

from mot_lightning.generation import GenerationSettings, generate
from mot_lightning.objectives import Diffusion, FlowMatching


def scheduler(name, **init_args):
    return {"class_path": f"diffusers.{name}", "init_args": init_args}


@pytest.mark.parametrize("name", ["DDIMScheduler", "EulerDiscreteScheduler", "DDPMScheduler"])
def test_flow_matching_refuses_a_scheduler_that_integrates_no_flow(name):
    with pytest.raises(ValueError, match=name):
        FlowMatching(scheduler=name)


def test_another_class_drops_the_defaults_own_arguments():
    objective = Diffusion(scheduler="DPMSolverMultistepScheduler")
    assert objective.scheduler == {
        "class_path": "DPMSolverMultistepScheduler",
        "init_args": {"prediction_type": objective.prediction_type},
    }


def test_arguments_alone_keep_the_default_class_and_its_other_arguments():
    objective = Diffusion(scheduler={"init_args": {"clip_sample_range": 3.0}})
    assert objective.scheduler["class_path"] == "diffusers.DDIMScheduler"
    assert objective.scheduler["init_args"]["clip_sample_range"] == 3.0
    assert objective.scheduler["init_args"]["timestep_spacing"] == "trailing"


def test_more_steps_than_a_schedule_has_are_refused():
    with pytest.raises(ValueError, match="2000 steps"):
        Diffusion(steps=2000)


def test_a_value_that_a_scheduler_does_not_know_is_refused():
    with pytest.raises(ValueError, match="foo"):
        Diffusion(scheduler=scheduler("DDPMScheduler", beta_schedule="foo"))


def test_a_scheduler_that_draws_noise_repeats_with_its_seed():
    model = make_model("token")
    objective = Diffusion("token", scheduler=scheduler("DDPMScheduler"), steps=5)
    objective.build(32, TOKENS["image"])
    model.objectives["image"] = objective
    settings = GenerationSettings(("image",))
    one, two = (generate(model, [[]], settings)[0][0].tokens for _ in range(2))
    torch.testing.assert_close(one, two)
