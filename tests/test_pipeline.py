"""MoTPipeline: generation from a checkpoint, without side effects on the process."""

import shutil
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import soundfile
import torch
from runs import run, run_in_subprocess

from mot_lightning import BackboneSettings, Bytes, FlowMatching, Modality, NextToken, Patches
from mot_lightning.errors import ConfigError
from mot_lightning.generation import GenerationSettings
from mot_lightning.modality import assemble
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
    with pytest.raises(ConfigError, match=r"checkpoint .*nowhere.ckpt does not exist"):
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


def test_run_folder_and_checkpoints_folder_load_the_last_checkpoint(tmp_path, trained, pipeline):
    weights = pipeline.model.state_dict()
    for path in (trained, str(trained / "checkpoints")):
        loaded = MoTPipeline.from_pretrained(path).model.state_dict()
        assert all(torch.equal(weight, loaded[name]) for name, weight in weights.items())
    run_folder = tmp_path / "run"
    (run_folder / "checkpoints").mkdir(parents=True)
    message = "run is a folder without last.ckpt or best.ckpt, wanted a checkpoint, a run folder or a folder of"
    with pytest.raises(ConfigError, match=message) as refusal:
        MoTPipeline.from_pretrained(run_folder)
    assert "\n" not in str(refusal.value)
    shutil.copy(trained / "checkpoints/last.ckpt", run_folder / "checkpoints/best.ckpt")
    assert MoTPipeline.from_pretrained(run_folder).limits == pipeline.limits


def test_folder_of_a_plain_trainer_loads_its_only_checkpoint(tmp_path, trained, pipeline):
    checkpoints = tmp_path / "lightning_logs/version_0/checkpoints"
    checkpoints.mkdir(parents=True)
    shutil.copy(trained / "checkpoints/last.ckpt", checkpoints / "epoch=0-step=6.ckpt")
    for folder in (checkpoints, checkpoints.parent):
        assert MoTPipeline.from_pretrained(folder).limits == pipeline.limits
    shutil.copy(trained / "checkpoints/last.ckpt", checkpoints / "epoch=0-step=3.ckpt")
    message = "2 checkpoints, wanted one of checkpoints/epoch=0-step=3.ckpt, checkpoints/epoch=0-step=6.ckpt$"
    with pytest.raises(ConfigError, match=message):
        MoTPipeline.from_pretrained(checkpoints.parent)


def test_images_and_sounds_may_be_any_object_or_file(tmp_path, pipeline):
    rng = np.random.default_rng(0)
    pixels, wave = rng.integers(0, 256, (8, 8), np.uint8), rng.integers(-9_000, 9_000, 4_000).astype(np.int16)
    picture = PIL.Image.fromarray(pixels)
    picture.save(tmp_path / "a.png")
    soundfile.write(tmp_path / "a.wav", wave, 8_000)
    images = [tmp_path / "a.png", picture, ("image", picture), ("image", pixels), ("image", torch.tensor(pixels / 255))]
    images += [("image", tmp_path / "a.png"), [picture]]
    sounds = [tmp_path / "a.wav", ("speech", wave), ("speech", torch.tensor(wave / 2**15)[None])]
    for forms in (images, sounds):
        first, *others = map(pipeline.encode, forms)
        for other in others:
            assert [segment.modality for segment in other] == [first[0].modality]
            torch.testing.assert_close(other[0].tokens, first[0].tokens)
    ((image,),) = pipeline([["two", picture]], modalities=("image",))
    assert pipeline([[image, "and"]], modalities=("text",), max_length=2)  # what it makes is what it takes


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        (("image", torch.tensor([[-1.0, 1.0]])), "image has values from -1 to 1, wanted 0 to 1"),
        (("speech", np.full(800, 5.0)), "audio has values from 5 to 5, wanted -1 to 1"),
        (("text", 7), "text is of type int, wanted str"),
        (("image", "photo.png"), "image is of type str, wanted a PIL image, an array or a tensor"),
        (("image", Path("gone.png")), "gone.png does not exist"),
        (Path("gone.png"), "gone.png does not exist"),
        (("video", "a"), "prompt . names 'video', wanted some of"),
        (np.zeros((8, 8)), r"prompt . holds ndarray, wanted a text, a Path, an image of Pillow or \(modality, media\)"),
        (7, "prompt . holds int, wanted a text"),
        (("image", "text", "a"), "prompt . holds tuple, wanted a text"),
    ],
)
def test_invalid_prompt_raises_one_line(pipeline, prompt, message):
    for prompts in ([prompt], ["two", ["two", prompt]]):
        with pytest.raises(ValueError, match=message) as refusal:
            pipeline(prompts)
        assert "\n" not in str(refusal.value)


def test_image_that_may_be_of_two_modalities_raises(pipeline):
    depth = MoTPipeline({**pipeline.codecs, "depth": pipeline.codecs["image"]}, pipeline.model)
    message = r"prompt 0 holds Image, wanted \(modality, media\): it may be image or depth"
    with pytest.raises(ValueError, match=message):
        depth([PIL.Image.new("L", (8, 8))])


def test_unknown_settings_and_values_of_another_type_raise(pipeline):
    for settings, message in (
        ({"guidance_scale": 3}, r"^there is no setting 'guidance_scale', did you mean guidance\?$"),
        ({"guidance": "3"}, "^guidance is '3', wanted a number, a mapping or None$"),
        ({"lengths": {"image": "3"}}, "^lengths.image is '3', wanted a whole number$"),
    ):
        for generate in (pipeline, pipeline.start):
            with pytest.raises(TypeError, match=message):
                generate("two", **settings)


def test_prompts_of_no_modality_are_named(pipeline):
    with pytest.raises(ValueError, match=r"^prompt 1 holds int, wanted a text, a Path, an image of Pillow or"):
        pipeline(["two", 3])
    with pytest.raises(ValueError, match=r"^negative_prompt holds int, wanted a text"):
        pipeline(["two"], negative_prompt=3)
    with pytest.raises(TypeError, match=r"^there is no setting 'num_samples', wanted each prompt as often"):
        pipeline(["two"], num_samples=2)


def test_a_text_that_is_a_path_is_refused(pipeline, tmp_path):
    (tmp_path / "two").touch()
    for path in (str(tmp_path / "two"), "pictures/two.png"):
        with pytest.raises(ValueError, match=f"^prompt 0 is '{path}', a file: wanted Path"):
            pipeline([path])
    assert pipeline(["two.png"], modalities=("text",), max_length=1)


def test_a_path_is_for_from_pretrained():
    with pytest.raises(TypeError, match=r"'runs/default/0', did you mean MoTPipeline.from_pretrained\?$"):
        MoTPipeline("runs/default/0")
    with pytest.raises(TypeError, match=r"^path is 3, wanted a text or a Path$"):
        MoTPipeline.from_pretrained(3)


def test_documents_that_the_model_ends_at_once_are_reported(pipeline, monkeypatch, caplog):
    end, image = pipeline.model.grammar.end_of_document, pipeline.model.grammar.begins["image"][0]
    chosen = iter([torch.tensor([end, image]), torch.tensor([end])])
    monkeypatch.setattr(type(pipeline.model.control), "choose", lambda *arguments: next(chosen))
    first, second = pipeline(["two", "three"])
    assert (first, [name for name, _ in second]) == ([], ["image"])
    assert "the model ended 1 of 2 documents without a new segment: " in caplog.text


def test_a_single_text_is_a_list_of_one(pipeline):
    settings = {"modalities": ("image",), "seed": 3}
    ((ours,),) = pipeline("two", **settings)
    ((theirs,),) = pipeline(["two"], **settings)
    assert torch.equal(ours[1], theirs[1])


def test_prompts_that_are_no_list_raise(pipeline):
    for prompts, described in ((PIL.Image.new("L", (8, 8)), "of type Image"), (torch.zeros(1, 8, 8), "of type Tensor")):
        with pytest.raises(ValueError, match=f"prompts is {described}, wanted a list of prompts"):
            pipeline(prompts)


def test_negative_prompt_changes_the_image_and_needs_guidance(pipeline):
    def image(**settings):
        return pipeline(["two"], modalities=("image",), **settings)[0][0][1]

    assert not torch.equal(image(negative_prompt="seven"), image())
    torch.testing.assert_close(image(negative_prompt="two"), image(guidance=1.0), rtol=1e-3, atol=1e-3)
    with pytest.raises(ValueError, match="guidance is 1 for image, wanted a higher scale"):
        image(negative_prompt="seven", guidance=1.0)
    with pytest.raises(ValueError, match="negative_prompt has 303 tokens, wanted at most 128"):
        image(negative_prompt="x" * 300)


def test_continuation_holds_only_the_new_text(pipeline):
    settings = {"modalities": ("text",), "max_length": 9, "temperature": 1.0}
    ((name, continued),) = pipeline(["a handwritten"], continue_final_segment=True, **settings)[0]
    assert name == "text"
    assert not continued.startswith("a handwritten")
    session = pipeline.start(continue_final_segment=True, **settings)
    assert session("a handwritten") == [(name, continued)]


def test_what_may_become_longer_than_the_sliding_window_is_refused():
    """Control tokens count: the end of the document before, and two for each segment."""
    modalities = {
        "text": Modality(Bytes(), NextToken()),
        "image": Modality(Patches((1, 4, 4), 2), FlowMatching()),
    }
    model = assemble(modalities, "text", BackboneSettings(dim=16, depth=1, heads=2, sliding_window=20))
    pipeline = MoTPipeline({name: modality.codec for name, modality in modalities.items()}, model.eval())
    settings = {"modalities": ("image", "text"), "guidance": 1.0}
    pipeline(["abc"], **settings, max_length=6)  # 1 + (2 + 3) + (2 + 4) + (2 + 6)
    with pytest.raises(ValueError, match=r"^the length of prompt 0 and what may follow is 21, wanted at most backbone"):
        pipeline(["abc"], **settings, max_length=7)
