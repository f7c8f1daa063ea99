"""`export`: a whole model, or a tower; what does not fit is refused in one line and leaves no file."""

import json

import pytest
import torch
from runs import run
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from mot_lightning.pipeline import MoTPipeline


def test_a_whole_model_is_written(tmp_path, trained, capsys):
    assert run(tmp_path, "export", f"--ckpt_path={trained}", f"--out={tmp_path / 'model'}", "--license=mit") == 0
    assert f"export:  {tmp_path / 'model'}, the model of text, image, speech" in capsys.readouterr().out
    saved = torch.load(trained / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    weights = load_file(tmp_path / "model/model.safetensors")
    assert weights.keys() == {name.removeprefix("ema_model.") for name in saved if name.startswith("ema_model.")}
    assert all(torch.equal(weight, saved[f"ema_model.{name}"]) for name, weight in weights.items())
    assert (tmp_path / "model/README.md").read_text().startswith("---\nlicense: mit\n")


def test_a_tower_is_written_from_a_checkpoint_and_from_a_folder(tmp_path, trained):
    MoTPipeline.from_pretrained(trained).save_pretrained(tmp_path / "model")
    for place, out in ((trained, "a"), (tmp_path / "model", "b")):
        assert run(tmp_path, "export", f"--ckpt_path={place}", "--tower=text", f"--out={tmp_path / out}") == 0
    logits = [AutoModelForCausalLM.from_pretrained(tmp_path / out)(torch.arange(9)[None]).logits for out in "ab"]
    assert torch.equal(*logits)
    assert json.loads((tmp_path / "a/config.json").read_text())["vocab_size"] == 256
    assert not (tmp_path / "a/README.md").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "--out is missing, wanted --out=FOLDER, or --push_to_hub=USER/NAME"),
        (["--tower=text"], "--out is missing"),
        (["--out=new", "--tower=smell"], "--tower is 'smell', wanted one of text, image, speech"),
        (["--out=new", "--tower=image"], "the objective of 'image' is 'FlowMatching', wanted NextToken"),
        (["--out=new", "--private"], "--private is given without --push_to_hub, wanted both"),
        (["--out=new", "--tower=text", "--license=mit"], "--license is given with --tower, wanted one of them"),
        (["--push_to_hub=a/b/c"], "--push_to_hub is 'a/b/c', wanted USER/NAME"),
        (
            ["--out=new", "--model.control=speech"],
            "--model.control is no option of export, wanted some of --out, --tower",
        ),
        (["--out=new", "--towr=text"], "--license, did you mean --tower?"),
    ],
)
def test_bad_options_are_refused(refusal, tmp_path, monkeypatch, trained, options, message):
    monkeypatch.chdir(tmp_path)
    assert message in refusal("export", f"--ckpt_path={trained}", *options)


@pytest.mark.parametrize("tower", [[], ["--tower=text"]])
def test_a_folder_in_use_is_refused(refusal, tmp_path, trained, tower):
    (tmp_path / "full").mkdir()
    (tmp_path / "full/notes.txt").touch()
    for name in ("full", "full/notes.txt"):
        message = refusal("export", f"--ckpt_path={trained}", f"--out={tmp_path / name}", *tower)
        assert f"--out {tmp_path / name} exists, wanted a new or empty folder" in message


def test_a_damaged_folder_is_refused(refusal, tmp_path, trained):
    MoTPipeline.from_pretrained(trained).save_pretrained(tmp_path / "model")
    path = tmp_path / "model/model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    for command in (["export", f"--out={tmp_path / 'out'}"], ["generate", "--prompt=two"]):
        assert f"--ckpt_path {path} cannot be read: damaged" in refusal(*command, f"--ckpt_path={tmp_path / 'model'}")


def test_a_hub_that_cannot_be_reached_is_said_in_one_line(tmp_path, trained, capsys):
    for tower in ([], ["--tower=text"]):
        assert run(tmp_path, "export", f"--ckpt_path={trained}", "--push_to_hub=someone/digits", *tower) == 1
        assert "error: someone/digits cannot be uploaded to the Hub: " in capsys.readouterr().err
