"""MoTPipeline: generation from a checkpoint, without side effects on the process."""

import pytest
import torch
from runs import run, run_in_subprocess

from mot_lightning.errors import ConfigError
from mot_lightning.generation import GenerationSettings
from mot_lightning.pipeline import MoTPipeline


@pytest.fixture(scope="module")
def pipeline(trained):
    return MoTPipeline.from_pretrained(trained / "checkpoints/last.ckpt")


def test_pipeline_equals_the_generate_command(tmp_path, trained, pipeline):
    ((words, image),) = pipeline(["two"], modalities=("text", "image"), max_length=9)
    assert (words[0], image[0]) == ("text", "image")
    assert image[1].shape == (1, 8, 8)
    options = ["--prompt=two", "--modalities=text,image", "--max_length=9", f"--out={tmp_path / 'out'}"]
    assert run(tmp_path, "generate", f"--ckpt_path={trained / 'checkpoints/last.ckpt'}", *options) == 0
    assert (tmp_path / "out/00_0_text.txt").read_text() == words[1] + "\n"


def test_invalid_prompts_guidance_or_checkpoint_raise(pipeline):
    with pytest.raises(ValueError, match="prompt 0 has 303 tokens, wanted at most 128"):
        pipeline(["x" * 300])
    with pytest.raises(ValueError, match="guidance of text is 3, wanted 1"):
        pipeline(["x"], guidance={"text": 3.0})
    with pytest.raises(ValueError, match="wanted a list of prompts"):
        pipeline("two")
    with pytest.raises(ConfigError, match=r"checkpoint nowhere.ckpt does not exist"):
        MoTPipeline.from_pretrained("nowhere.ckpt")


def test_default_guidance_applies_to_unconditional_modalities(pipeline):
    assert pipeline.with_guidance(GenerationSettings()).guidance == {"image": 2.0, "speech": 1.0, "text": 1.0}
    untrained = MoTPipeline(pipeline.codecs, pipeline.model, pipeline.limits._replace(unconditional=()))
    assert set(untrained.with_guidance(GenerationSettings()).guidance.values()) == {1.0}
    assert pipeline.with_guidance(GenerationSettings(guidance=3.0), {"image": 4.0}).guidance["image"] == 4.0


def test_pipeline_loads_the_ema_weights(trained, pipeline):
    saved = torch.load(trained / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    weights = pipeline.model.state_dict()
    assert weights
    assert all(torch.equal(weight, saved[f"ema_model.{name}"]) for name, weight in weights.items())
    assert any(not torch.equal(weight, saved[f"model.{name}"]) for name, weight in weights.items())


def test_importing_loading_and_generating_keep_process_state(tmp_path, trained):
    program = f"""
import os, random, torch, numpy, jsonargparse, lightning.pytorch, diffusers, transformers
from jsonargparse import _common
state = lambda: (
    dict(os.environ), repr(_common.parsing_settings), torch.get_rng_state().tolist(), random.getstate(),
    str(numpy.random.get_state()), torch.get_default_dtype(), torch.get_num_threads(),
)
before = state()
import mot_lightning.module, mot_lightning.cli.main, mot_lightning.experiment.build, datamodules
assert state() == before, "importing"
from mot_lightning.pipeline import MoTPipeline
pipeline = MoTPipeline.from_pretrained({str(trained / "checkpoints/last.ckpt")!r})
assert state() == before, "loading"
pipeline(["two"], modalities=("image",))
assert state() == before, "generating"
"""
    run_in_subprocess("-c", program, cwd=tmp_path)


def test_name_or_path_of_an_unknown_modality_raises(trained):
    with pytest.raises(ConfigError, match="name_or_path names 'smell', wanted some of"):
        MoTPipeline.from_pretrained(trained / "checkpoints/last.ckpt", name_or_path={"smell": "anywhere"})
