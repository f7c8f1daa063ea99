"""The command line as a user meets it: configs merge, objectives swap by one flag, bad input is one line and exit 2."""

import json
import re
import struct
import textwrap
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml
from PIL import Image
from test_resume import TINY, run

from mot_lightning import codecs, objectives, run_folder
from mot_lightning.cli import main
from mot_lightning.codecs import Bytes
from mot_lightning.config import ConfigError
from mot_lightning.generation import Trained
from mot_lightning.generation.command import Stream, read_prompts
from mot_lightning.module import MoTModule
from mot_lightning.objectives import FlowMatching

ROOT = Path(__file__).resolve().parents[1]


def printed_config(capsys, *arguments):
    """What `fit --print_config` shows."""
    main(["fit", *arguments, "--print_config"])
    return yaml.safe_load(capsys.readouterr().out)


def refusal(capsys, tmp_path, *arguments):
    """The one line that a command ends with; nothing may have been written."""
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(SystemExit) as end:
        main([*arguments, f"--runs={tmp_path / 'runs'}"])
    said = capsys.readouterr().err.strip()
    assert end.value.code == 2
    assert len(said.splitlines()) == 1
    assert said.startswith("error: ")
    assert sorted(tmp_path.rglob("*")) == before
    return said


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A tiny trained run."""
    folder = tmp_path_factory.mktemp("trained")
    assert run(folder, "fit", *TINY, "--report.prompts=3", "--samples.prompts=2") == 0
    return folder / "default/0"


def test_a_flag_swaps_one_objective_and_leaves_the_rest(capsys):
    before = printed_config(capsys)
    after = printed_config(capsys, "--model.modalities.image.objective=Diffusion")
    assert after["model"]["modalities"]["image"]["objective"] == {
        "class_path": "mot_lightning.objectives.diffusion.Diffusion"
    }
    del after["model"]["modalities"]["image"]["objective"], before["model"]["modalities"]["image"]["objective"]
    assert after == before


def test_the_swap_runs_both_ways_and_takes_the_new_ones_own_defaults(capsys):
    back = printed_config(
        capsys, f"--config={ROOT / 'conf/transfusion.yaml'}", "--model.modalities.image.objective=FlowMatching"
    )
    assert back["model"]["modalities"]["image"]["objective"] == {
        "class_path": "mot_lightning.objectives.flow_matching.FlowMatching"
    }
    assert back["model"]["modalities"]["image"]["weight"] == 5


def test_configs_merge_deeply_and_null_drops_a_modality(capsys, tmp_path):
    (tmp_path / "a.yaml").write_text("model: {modalities: {image: {weight: 7}, speech: null}}")
    config = printed_config(capsys, f"--config={tmp_path / 'a.yaml'}")
    assert set(config["model"]["modalities"]) == {"image", "text"}
    assert config["model"]["modalities"]["image"]["weight"] == 7
    assert config["model"]["modalities"]["image"]["codec"]["class_path"].endswith("Patches")


def test_the_data_settle_what_a_codec_needs_and_the_user_may_overrule(capsys):
    config = printed_config(capsys, "--data.image_root=anywhere", "--model.modalities.image.codec.patch_size=7")
    codec = config["model"]["modalities"]["image"]["codec"]["init_args"]
    assert codec == {"shape": [1, 28, 28], "patch_size": 7}


def test_the_default_config_is_found_from_any_directory(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert printed_config(capsys, "--config=conf/transfusion.yaml")["experiment"] == "transfusion"


def test_help_is_short(capsys):
    for command in ("fit", "validate", "test", "generate"):
        main([command, "--help"])
        assert 8 < len(capsys.readouterr().out.splitlines()) < 45


def test_every_setting_is_listed_with_its_type_and_default(capsys):
    with pytest.raises(SystemExit) as end:
        main(["fit", "--help-all"])
    assert not end.value.code
    said = capsys.readouterr().out
    for place, classes in (("data", ["Digits"]), ("model.modalities.NAME.codec", codecs.__all__),
                           ("model.modalities.NAME.objective", objectives.__all__)):  # fmt: skip
        assert all((f"--{place}={name}\n" in said) is (name not in ("Codec", "Objective")) for name in classes)
    for name in ("data.speeds", "data.guided", "model.modalities.NAME.codec.patch_size", "model.backbone.dim",
                 "model.modalities.NAME.objective.prediction_type", "trainer.max_steps"):  # fmt: skip
        assert f"--{name} " in said
    assert "{epsilon,v_prediction,sample}" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fitt"], ["fitt", "did you mean fit?"]),
        (["fit", "--trainer.max_step=3"], ["max_step", "did you mean"]),
        (["fit", "--model.backbone.dimm=3"], ["dimm", "did you mean"]),
        (["fit", "--modle.control=text"], ["modle", "did you mean"]),
        (["fit", "--model.modalities.imag.weight=3"], ["imag", "did you mean image?"]),
        (["fit", "--model.modalities.image.objective=FlowMatchin"], ["FlowMatchin", "did you mean FlowMatching?"]),
        (["fit", "--model.modalities.text.objective=Diffusion"], ["Diffusion", "text", "ids", "latents"]),
        (["fit", "--model.modalities.image.objective=NextToken"], ["NextToken", "image", "ids", "latents"]),
        (["fit", "--model.modalities.text.objective=MaskedToken"], ["MaskedToken", "text", "number", "NextToken"]),
        (["fit", "--model.modalities.speech.objective=Regression"], ["Regression", "speech", "ids", "NextToken"]),
        (["fit", "--model.modalities.image.objective.prediction=epsilon"], ["prediction", "epsilon", "velocity"]),
        (["fit", "--model.reduction=mean"], ["model.reduction is mean, wanted token, segment or batch"]),
        (["fit", "--model.modalities.image.objective.time=x"], ["error: time is x, wanted norm or token"]),
        (
            ["fit", "--model.modalities.image.objective.scheduler=3"],
            ["scheduler is 3, wanted a mapping, a text or null"],
        ),
        (["fit", "--model.modalities.image.codec.shape=[1,2]"], ["shape is [1, 2], wanted a list of 3"]),
        (["fit", "--model.modalities.text.codec=HFTokenizer"], ["codec has no name_or_path, wanted one"]),
        (["fit", "--data.guided=x"], ["guided is x, wanted a list or null"]),
        (["fit", "--data.batch_size=x"], ["batch_size is x, wanted a whole number"]),
        (["fit", "--data.documents={}"], ["--data.documents is {}, which changes nothing"]),
        (["fit", "--trainer.gradient_clip_val=x"], ["trainer.gradient_clip_val is x, wanted a ", " or null"]),
        (["fit", "--max_steps=3"], ["no setting 'max_steps', did you mean trainer.max_steps?"]),
        (["fit", "--model.modalities.text.codec=LogMelUnits"], ["codec is LogMelUnits, wanted one of texts"]),
        (["fit", "--model.modalities.speech.codec=Bytes"], ["codec is Bytes, wanted none of texts"]),
        (["fit", "--model.modalities.speech.codec.vocab_size=0"], ["vocab_size is 0, wanted at least 2 units"]),
        (["fit", "--data.guided=[video]"], ["data.guided names 'video', wanted some of image, speech, text"]),
        (["fit", "--report.prompts=x"], ["report.prompts is x, wanted a whole number or null"]),
        (["fit", "--report.temperature=-1"], ["report.temperature is -1.0, wanted a number of 0 or more, or null"]),
        (["fit", "--model.backbone.compile=3"], ["compile is 3, wanted true or false"]),
        (["fit", "--experiment="], ["experiment is None, wanted a plain folder name"]),
        (["fit", "--experiment=[a]"], ["experiment is ['a'], wanted a plain folder name"]),
        (["fit", "--trainer.val_check_interval=0"], ["trainer.val_check_interval is 0, wanted steps, at least 1"]),
        (["fit", "--gradient_norms.every_n_steps=0"], ["gradient_norms.every_n_steps is 0, wanted at least 1"]),
        (["fit", "--model.modalities.image.objective=os.Path"], ["os.Path", "--allow os"]),
        (["fit", "--model.modalities.image.objective.scheduler=diffusers.Nope"], ["diffusers.Nope"]),
        (["fit", "--model.modalities.image.objective.stepz=3"], ["stepz"]),
        (["fit", "--model.backbone.dim=abc"], ["model.backbone.dim is abc, wanted a whole number"]),
        (["fit", "--model.backbone.heads=3"], ["heads", "3", "128"]),
        (["fit", "--model.control=image"], ["control", "image"]),
        (["fit", "--data.image_root=/nowhere"], ["image_root", "/nowhere"]),
        (["fit", "--data.speech_root=/nowhere"], ["speech_root", "/nowhere"]),
        (["fit", "--data=Digitz"], ["Digitz", "did you mean Digits?"]),
        (["fit", "--trainer.max_steps=0"], ["max_steps", "0"]),
        (["fit", "--model.backbone.attention=flex"], ["attention is flex", "block_list"]),
        (["fit", "--model.optimization.learning_rate=.nan"], ["learning_rate is nan", "above 0"]),
        (["fit", "--model.optimization.betas=[2,3]"], ["betas", "below 1"]),
        (["fit", "--model.optimization.warmup=-1"], ["warmup is -1"]),
        (["fit", "--model.modalities.image.weight=.inf"], ["image.weight is inf"]),
        (["fit", "--report.guidance=.nan"], ["guidance is nan"]),
        (["fit", "--trainer.accelerator=quantum"], ["quantum"]),
        (["fit", "--config=conf/transfusio.yaml"], ["transfusio", "did you mean conf/transfusion.yaml?"]),
        (["fit", "--experiment=a/b"], ["a/b"]),
        (["fit", "--seed"], ["--seed"]),
        (["fit", "seed=3"], ["seed=3"]),
        (["test"], ["--ckpt_path"]),
        (["generate", "--prompt=a"], ["--ckpt_path"]),
        (["test", "--ckpt_path=/nowhere.ckpt"], ["/nowhere.ckpt"]),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing_behind(capsys, tmp_path, arguments, words):
    said = refusal(capsys, tmp_path, *arguments)
    assert all(word in said for word in words), said


def test_data_folders_with_nothing_or_rubbish_in_them_are_refused(capsys, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "empty" in refusal(capsys, tmp_path, "fit", f"--data.image_root={tmp_path / 'empty'}")
    assert "empty" in refusal(capsys, tmp_path, "fit", f"--data.speech_root={tmp_path / 'empty'}")
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(struct.pack(">4I", 2051, 9, 28, 28) + b"short")
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 2049, 9) + bytes(9))
    assert "t10k-images-idx3-ubyte" in refusal(capsys, tmp_path, "fit", f"--data.image_root={tmp_path}")
    for i, speaker in enumerate("abc"):
        soundfile.write(tmp_path / f"1_{speaker}_{i}.wav", np.random.default_rng(0).random(800), 8000)
    (tmp_path / "2_a_1.wav").write_text("no sound")
    assert "2_a_1.wav" in refusal(capsys, tmp_path, "fit", f"--data.speech_root={tmp_path}")


def test_damaged_and_foreign_checkpoints_are_refused(capsys, tmp_path, trained):
    good = (trained / "checkpoints/last.ckpt").read_bytes()
    (tmp_path / "cut.ckpt").write_bytes(good[: len(good) // 2])
    assert "cut.ckpt" in refusal(capsys, tmp_path, "test", f"--ckpt_path={tmp_path / 'cut.ckpt'}")
    torch.save({"state_dict": {}}, tmp_path / "other.ckpt")
    assert "other.ckpt" in refusal(capsys, tmp_path, "test", f"--ckpt_path={tmp_path / 'other.ckpt'}")
    flipped = bytearray((trained / "checkpoints/last.ckpt").read_bytes())
    middle = slice(len(flipped) // 2, len(flipped) // 2 + 100)
    flipped[middle] = bytes(
        255 - byte for byte in flipped[middle]
    )  # no longer what was written, and of the same length
    (tmp_path / "flipped.ckpt").write_bytes(flipped)
    assert "damaged" in refusal(capsys, tmp_path, "test", f"--ckpt_path={tmp_path / 'flipped.ckpt'}")
    checkpoint = torch.load(trained / "checkpoints/last.ckpt", weights_only=True)
    checkpoint["config"]["model"]["backbone"]["dim"] = 32
    torch.save(checkpoint, tmp_path / "wider.ckpt")
    said = refusal(capsys, tmp_path, "test", f"--ckpt_path={tmp_path / 'wider.ckpt'}")
    assert "another model" in said


def test_a_checkpoint_takes_data_settings_and_no_model_settings(capsys, tmp_path, trained):
    checkpoint = f"--ckpt_path={trained / 'checkpoints/last.ckpt'}"
    assert "model" in refusal(capsys, tmp_path, "test", checkpoint, "--model.backbone.dim=8")
    assert run(tmp_path, "validate", checkpoint, "--data.batch_size=3") == 0
    assert "data.batch_size: 4 -> 3" in capsys.readouterr().out


def test_a_checkpoint_means_the_same_when_defaults_change(tmp_path, trained, monkeypatch):
    checkpoint = trained / "checkpoints/last.ckpt"
    before = torch.load(checkpoint, weights_only=True)["config"]
    assert before["data"]["init_args"]["row_length"] is None  # follows from the sources, which may be other ones
    monkeypatch.setattr(FlowMatching.__init__, "__defaults__", ("token", None, 7, 1.0, "unet", "logit_normal", "x_0"))
    monkeypatch.setattr(FlowMatching, "default_scheduler", {"class_path": "diffusers.FlowMatchHeunDiscreteScheduler"})
    objective = MoTModule.from_checkpoint(checkpoint).model.objectives["image"]
    assert (objective.steps, objective.shift, objective.prediction) == (25, 3.0, "velocity")
    assert objective.scheduler["class_path"] == "diffusers.FlowMatchEulerDiscreteScheduler"
    assert run(tmp_path, "fit", f"--ckpt_path={checkpoint}") == 0
    assert torch.load(tmp_path / "default/0/checkpoints/last.ckpt", weights_only=True)["config"] == {
        **before, "runs": str(tmp_path)
    }  # fmt: skip


def test_a_run_folder_holds_everything(trained):
    metrics = json.loads((trained / "metrics.json").read_text())
    wanted = {
        "test/image/judge_accuracy", "test/image/judge_accuracy_guided", "test/image/judge_accuracy_real",
        "test/image/speech_to_image_accuracy", "test/image/fid[digits]", "test/text/image_to_text_accuracy",
        "test/text/speech_to_text_accuracy", "test/text/bits_per_byte", "test/text/loss",
        "test/speech/text_to_speech_accuracy", "test/speech/text_to_speech_accuracy_real", "test/image/guidance",
        "test/image/steps", "test/image/judge_accuracy_samples", "fit/seconds", "fit/peak_rss_mb", "model/parameters",
        "model/image/active_parameters", "model/speech/forward_flops_per_token",
    }  # fmt: skip
    assert wanted <= set(metrics)
    assert all(isinstance(value, int | float) for value in metrics.values())
    for name in ("config.yaml", "metrics.csv", "checkpoints/best.ckpt", "checkpoints/last.ckpt", "tensorboard"):
        assert (trained / name).exists()
    endings = {path.suffix for path in (trained / "samples").rglob("*")}
    assert {".png", ".wav", ".txt"} <= endings


def test_a_run_that_goes_on_with_other_data_may_be_asked_what_it_learned_before(tmp_path, capsys, trained):
    arguments = ["--data.row_length=256", "--data.condition_dropout=0", "--trainer.max_steps=7", "--report.prompts=0"]
    assert run(tmp_path, "fit", f"--ckpt_path={trained / 'checkpoints/last.ckpt'}", *arguments) == 0
    assert "data.row_length: None -> 256" in capsys.readouterr().out
    checkpoint = torch.load(tmp_path / "default/0/checkpoints/last.ckpt", weights_only=True)
    assert checkpoint["trained"] == {"row_length": 256, "alone": ["image"]}
    assert Trained(128, ("a", "c")).and_then(Trained(64, ("b", "c"))) == Trained(128, ("a", "b", "c"))


def test_a_test_says_only_what_it_did(tmp_path, capsys, trained):
    arguments = ["--report.guidance=1", "--report.prompts=1"]
    assert run(tmp_path, "test", f"--ckpt_path={trained / 'checkpoints/last.ckpt'}", *arguments) == 0
    folder = tmp_path / "default/0"
    assert capsys.readouterr().out.splitlines()[-1] == f"figures: {folder / 'metrics.json'}"
    assert not [name for name in json.loads((folder / "metrics.json").read_text()) if "guid" in name]


def test_a_checkpoint_alone_reproduces_its_test_figures(tmp_path, trained):
    assert run(tmp_path, "test", f"--ckpt_path={trained / 'checkpoints/last.ckpt'}") == 0
    first = json.loads((trained / "metrics.json").read_text())
    again = json.loads((tmp_path / "default/0/metrics.json").read_text())
    assert {k: v for k, v in again.items() if k.startswith("test/")} == {
        k: v for k, v in first.items() if k.startswith("test/")
    }


def test_generate_continues_text_images_and_sounds_into_files(capsys, tmp_path, trained):
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (8, 8), np.uint8)).save(tmp_path / "image.wav", "PNG")  # an ending that lies
    soundfile.write(tmp_path / "sound.wav", rng.random(4000) - 0.5, 16000)
    checkpoint = f"--ckpt_path={trained / 'checkpoints/last.ckpt'}"
    arguments = ["--prompt=a", f"--prompt={tmp_path / 'image.wav'}", f"--prompt={tmp_path / 'sound.wav'}"]
    main(["generate", checkpoint, *arguments, "--modalities=image,text,speech", f"--out={tmp_path / 'out'}"])
    endings = {".png", ".txt", ".wav", ".html", ".md", ".json"}
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == endings
    assert str(tmp_path / "out") in capsys.readouterr().out
    page = (tmp_path / "out/index.html").read_text()
    assert page.count("data:image/png;base64,") == 2  # the prompt's and the one that was made
    assert page.count("<audio") == 2
    request = json.loads((tmp_path / "out/request.json").read_text())
    assert request["settings"]["modalities"] == ["image", "text", "speech"]
    assert request["checkpoint"] == str(trained / "checkpoints/last.ckpt")
    main(["generate", checkpoint, f"--out={tmp_path / 'free'}", "--max_segments=2", "--num_samples=3"])
    assert (tmp_path / "free").is_dir()


def test_generate_continues_each_prompt_of_a_file_as_it_would_alone(capsys, tmp_path, trained):
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "zero.png")
    (tmp_path / "many.jsonl").write_text('["seven", "zero.png"]\n["two"]\n[]\n')  # a path beside the file
    checkpoint = f"--ckpt_path={trained / 'checkpoints/last.ckpt'}"
    asked = [checkpoint, "--num_samples=2", "--modalities=text,image", "--max_length=9"]
    main(["generate", *asked, f"--prompts={tmp_path / 'many.jsonl'}", "--batch_size=4", f"--out={tmp_path / 'many'}"])
    main(["generate", *asked, "--prompt=two", f"--out={tmp_path / 'two'}"])
    assert len(list((tmp_path / "many").glob("*_1_image.png"))) == 6 + 2  # and those of the prompt
    for sample in range(2):
        together, alone = (
            tmp_path / "many" / f"{2 + sample:02}_0_text.txt",
            tmp_path / "two" / f"{sample:02}_0_text.txt",
        )
        assert together.read_text() == alone.read_text()


def test_text_appears_as_it_is_made_and_no_character_in_halves(capsys):
    stream, printed = Stream({"words": Bytes()}), ""
    for id in "h\u00e9\U0001f600".encode():
        stream(0, "words", id)
        printed += capsys.readouterr().out
        assert "\ufffd" not in printed
    assert printed == "h\u00e9\U0001f600"
    stream(0, "words", 0xC3)
    assert capsys.readouterr().out == ""
    stream(0, "words", None)  # it ends in the middle of one: now it is what it is
    assert capsys.readouterr().out == "\ufffd\n"
    for id in [*b"ok", None]:
        stream(0, "words", id)
    assert capsys.readouterr().out == "ok\n"


def test_three_lines_of_python_do_what_the_command_does(tmp_path, trained):
    module = MoTModule.from_checkpoint(trained / "checkpoints/last.ckpt")
    ((words, image),) = module.generate(["two"], modalities=("text", "image"), max_length=9)
    assert (words[0], image[0]) == ("text", "image")
    assert image[1].shape == (1, 8, 8)
    main(["generate", f"--ckpt_path={trained / 'checkpoints/last.ckpt'}", "--prompt=two", "--modalities=text,image",
          "--max_length=9", "--temperature=1", "--top_p=1", "--guidance=1", f"--out={tmp_path / 'out'}"])  # fmt: skip
    assert (tmp_path / "out/00_0_text.txt").read_text() == words[1] + "\n"
    with pytest.raises(ValueError, match="prompt 0 has 303 tokens, wanted at most 128"):
        module.generate(["x" * 300])
    with pytest.raises(ValueError, match="guidance of text is 3, wanted 1"):
        module.generate(["x"], guidance={"text": 3.0})
    with pytest.raises(ConfigError, match=r"checkpoint nowhere.ckpt does not exist"):
        MoTModule.from_checkpoint("nowhere.ckpt")


def test_generate_refuses_what_it_cannot_read(capsys, tmp_path, trained):
    checkpoint = f"--ckpt_path={trained / 'checkpoints/last.ckpt'}"
    (tmp_path / "notes.pdf").write_text("neither")
    said = refusal(capsys, tmp_path, "generate", checkpoint, f"--prompt={tmp_path / 'notes.pdf'}")
    assert "neither image nor speech" in said
    assert "gone.png" in refusal(capsys, tmp_path, "generate", checkpoint, "--prompt=gone.png")
    assert "video" in refusal(capsys, tmp_path, "generate", checkpoint, "--prompt=a", "--modalities=video")
    assert "temperature" in refusal(capsys, tmp_path, "generate", checkpoint, "--prompt=a", "--temperature=-1")
    for option, words in (
        ("--temperature=hot", "hot"),
        ("--seed=-3", "--seed is -3, wanted at least 0"),
        ("--batch_size=0", "--batch_size is 0, wanted at least 1"),
        ("--guidance.text=2", "guidance of text is 2, wanted 1"),
        ("--guidance.video=2", "guidance names 'video'"),
        ("--lengths.image=3", "image: a segment has 3 tokens, wanted 16"),
        ("--lengths=3", "wanted --lengths.MODALITY"),
        (f"--prompt={'x' * 300}", "tokens, wanted at most 128, the data.row_length of the run"),
        ("--prompts=gone.txt", "one of them"),
    ):
        assert words in refusal(capsys, tmp_path, "generate", checkpoint, "--prompt=a", option)
    for text, words in (("", "has 0 prompts"), ("[1]\n", "line 1 is '[1]'"), ("{", "wanted a JSON list")):
        (tmp_path / "bad.jsonl").write_text(text)
        assert words in refusal(capsys, tmp_path, "generate", checkpoint, f"--prompts={tmp_path / 'bad.jsonl'}")
    (tmp_path / "bad.jsonl").write_text('["a"]\n\n3\n')
    assert "line 3 is '3'" in refusal(capsys, tmp_path, "generate", checkpoint, f"--prompts={tmp_path / 'bad.jsonl'}")
    assert "gone.txt" in refusal(capsys, tmp_path, "generate", checkpoint, "--prompts=gone.txt")


def test_a_scheduler_goes_by_its_bare_name_beside_arguments_too(tmp_path):
    image = "--model.modalities.image.objective"
    scheduler = [f"{image}.scheduler.class_path=DDIMScheduler", f"{image}.scheduler.init_args.timestep_spacing=leading"]
    assert run(tmp_path, "fit", *TINY, f"{image}=Diffusion", *scheduler, "--trainer.max_steps=2") == 0
    checkpoint = torch.load(tmp_path / "default/0/checkpoints/last.ckpt", weights_only=True)
    found = checkpoint["config"]["model"]["modalities"]["image"]["objective"]["init_args"]["scheduler"]
    assert found == {"class_path": "diffusers.DDIMScheduler", "init_args": {"timestep_spacing": "leading"}}


def test_files_of_prompts_may_come_from_any_editor(tmp_path):
    (tmp_path / "a.txt").write_bytes("\ufeffone\r\n\r\ntwo\u2028three\n".encode())
    (tmp_path / "a.JSONL").write_text('\ufeff["one", "two\u2028three"]\r\n', encoding="utf-8")
    assert read_prompts(tmp_path / "a.txt") == [["one"], ["two\u2028three"]]
    assert read_prompts(tmp_path / "a.JSONL") == [["one", "two\u2028three"]]


def test_a_class_of_the_users_own_works_once_its_package_is_allowed(capsys, tmp_path):
    mine = "--model.modalities.image.objective=my_objective.SlowFlow"
    assert "--allow my_objective" in refusal(capsys, tmp_path, "fit", mine)
    assert run(tmp_path, "fit", *TINY, mine, "--allow=my_objective", "--trainer.max_steps=2") == 0


def test_a_run_that_another_overtook_takes_the_next_number(tmp_path, monkeypatch):
    create = run_folder.create

    def overtaken(folder, config):
        if folder.name == "0":
            folder.mkdir(parents=True, exist_ok=True)  # the other run's
        return create(folder, config)

    monkeypatch.setattr(run_folder, "create", overtaken)
    assert run(tmp_path, "fit", *TINY, "--trainer.max_steps=1") == 0
    assert not [*(tmp_path / "default/0").iterdir()]
    assert (tmp_path / "default/1/metrics.json").is_file()


def test_validate_prints_its_losses(trained, tmp_path, capsys):
    assert run(tmp_path, "validate", f"--ckpt_path={trained / 'checkpoints/last.ckpt'}") == 0
    assert re.search(r"^val/image/loss +\d+\.\d+$", capsys.readouterr().out, re.MULTILINE)


@pytest.mark.parametrize("left_out", ["--config=conf/chameleon.yaml", "--model.modalities.speech=null"])
def test_a_baseline_goes_with_a_recipe_of_fewer_modalities(capsys, tmp_path, left_out):
    assert run(tmp_path, "fit", left_out, "--config=conf/backbone/dense.yaml", "--print_config") == 0
    towers = yaml.safe_load(capsys.readouterr().out)["model"]["backbone"]["towers"]
    assert towers == {"all": ["image", "text"]}


def test_the_three_lines_of_the_readme_run(trained):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (lines,) = re.findall(r"(    from mot_lightning\.module import MoTModule\n(?:    .+\n)+)", readme)
    found = {}
    exec(textwrap.dedent(lines).replace("runs/default/0", str(trained)), found)
    assert len(found["images"]) == 2
