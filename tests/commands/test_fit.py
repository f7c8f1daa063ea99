"""`fit`: a run folder that holds everything, from a config that travels whole."""

import csv
import json
from types import SimpleNamespace

import pytest
import torch
import yaml
from runs import TINY, run

from mot_lightning.commands.fit import _copy_rows
from mot_lightning.generation import GenerationLimits
from mot_lightning.objectives import FlowMatching
from mot_lightning.pipeline import MoTPipeline
from mot_lightning.runs.csv_logger import CSVMetricsLogger


def config_of(folder):
    return yaml.safe_load((folder / "config.yaml").read_text())


def test_a_run_folder_holds_everything(trained):
    for name in ("config.yaml", "metrics.csv", "metrics.json", "checkpoints/best.ckpt", "checkpoints/last.ckpt",
                 "tensorboard", "samples"):  # fmt: skip
        assert (trained / name).exists()


def test_the_runs_config_the_printed_one_and_the_checkpoints_are_one(trained, printed_config):
    config = config_of(trained)
    printed = printed_config(*TINY, "--report.prompts=3", "--samples.prompts=3")
    assert {**printed, "runs": config["runs"]} == config
    assert torch.load(trained / "checkpoints/last.ckpt", weights_only=True)["config"] == config
    again = printed_config(f"--config={trained / 'config.yaml'}")
    assert {**again, "runs": config["runs"]} == config


def test_the_config_of_a_run_without_speech_trains_no_speech(tmp_path, printed_config):
    arguments = ["--model.modalities.speech=null", "--config=conf/backbone/dense.yaml", "--experiment=default"]
    assert run(tmp_path, "fit", *TINY, *arguments, "--trainer.max_steps=1") == 0
    first = tmp_path / "default/0"
    assert set(config_of(first)["model"]["modalities"]) == {"image", "text"}
    assert run(tmp_path, "fit", f"--config={first / 'config.yaml'}") == 0
    assert config_of(tmp_path / "default/1") == config_of(first)
    assert not [name for name in json.loads((tmp_path / "default/1/metrics.json").read_text()) if "speech" in name]
    fewer = printed_config(f"--config={first / 'config.yaml'}", "--model.modalities.image=null")
    assert fewer["model"]["backbone"]["towers"] == {"all": ["text"]}


def test_a_checkpoint_means_the_same_when_defaults_change(tmp_path, trained, monkeypatch):
    checkpoint = trained / "checkpoints/last.ckpt"
    config = torch.load(checkpoint, weights_only=True)["config"]
    assert config["data"]["init_args"]["row_length"] is None  # follows from the sources, which may be other ones
    defaults = ("additive", None, 7, 1.0, "unet", "logit_normal", "x_0")
    assert len(defaults) == len(FlowMatching.__init__.__defaults__)
    monkeypatch.setattr(FlowMatching.__init__, "__defaults__", defaults)
    monkeypatch.setattr(FlowMatching, "default_scheduler", {"class_path": "diffusers.FlowMatchHeunDiscreteScheduler"})
    objective = MoTPipeline.from_pretrained(checkpoint).model.objectives["image"]
    assert (objective.steps, objective.shift, objective.prediction) == (25, 3.0, "velocity")
    assert objective.scheduler["class_path"] == "diffusers.FlowMatchEulerDiscreteScheduler"
    assert run(tmp_path, "fit", f"--ckpt_path={checkpoint}", "--report.prompts=0") == 0
    after = torch.load(tmp_path / "default/0/checkpoints/last.ckpt", weights_only=True)["config"]
    assert after == {**config, "runs": str(tmp_path), "report": {**config["report"], "prompts": 0}}


def test_a_run_that_goes_on_with_other_data_may_be_asked_what_it_learned_before(tmp_path, capsys, trained):
    arguments = [
        "--data.row_length=256", "--data.document_settings.condition_dropout=0", "--trainer.max_steps=7",
        "--report.prompts=0", "--samples.prompts=0",
    ]  # fmt: skip
    assert run(tmp_path, "fit", f"--ckpt_path={trained / 'checkpoints/last.ckpt'}", *arguments) == 0
    assert "data.row_length: None -> 256" in capsys.readouterr().out
    checkpoint = torch.load(tmp_path / "default/0/checkpoints/last.ckpt", weights_only=True)
    assert GenerationLimits.from_state_dict(checkpoint["limits"]) == GenerationLimits(256, ("image",))
    before, after = GenerationLimits(128, ("a", "c")), GenerationLimits(64, ("b", "c"))
    assert before.union(after) == GenerationLimits(128, ("a", "b", "c"))


def test_a_finished_run_has_nothing_left_to_train(tmp_path, capsys, trained):
    assert run(tmp_path, "fit", f"--ckpt_path={trained / 'checkpoints/last.ckpt'}", "--report.prompts=0") == 0
    output = capsys.readouterr().out
    assert "is at step 6 of 6: nothing is left to train" in output
    assert f"run:     {tmp_path / 'default/0'}\n" in output


def test_a_run_that_is_further_than_wanted_is_refused(refusal, trained):
    checkpoint = f"--ckpt_path={trained / 'checkpoints/last.ckpt'}"
    message = "trainer.max_steps is 4, wanted at least 6, the checkpoint's step"
    assert message in refusal("fit", checkpoint, "--trainer.max_steps=4")


def test_a_scheduler_goes_by_its_bare_name_beside_arguments_too(printed_config):
    image = "--model.modalities.image.objective"
    scheduler = [f"{image}.scheduler.class_path=DDIMScheduler", f"{image}.scheduler.init_args.timestep_spacing=leading"]
    objective = printed_config(f"{image}=Diffusion", *scheduler)["model"]["modalities"]["image"]["objective"]
    assert objective["init_args"]["scheduler"] == {
        "class_path": "diffusers.DDIMScheduler", "init_args": {"timestep_spacing": "leading"}}  # fmt: skip


def test_a_class_of_the_users_own_works_once_its_package_is_allowed(refusal, tmp_path):
    mine = "--model.modalities.image.objective=my_objective.SlowFlow"
    assert "add --allow my_objective" in refusal("fit", mine)
    assert run(tmp_path, "fit", *TINY, mine, "--allow=my_objective", "--trainer.max_steps=2") == 0


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("MeanFlow", "MeanFlow.loss returned (), wanted ("),
        ("ShortFlow", "ShortFlow.loss takes (hidden), wanted (hidden, embedded)"),
        ("RaisingFlow", "the loss of RaisingFlow failed: RuntimeError"),
        ("NoObjective", "objective is my_objective.NoObjective, wanted a subclass of Objective"),
        ("NeedyFlow", "NeedyFlow needs a value for needed, wanted --model.modalities.image.objective.needed=..."),
    ],
)
def test_a_faulty_objective_of_the_users_own_is_one_line(refusal, name, message):
    assert message in refusal(
        "fit", *TINY, f"--model.modalities.image.objective=my_objective.{name}", "--allow=my_objective"
    )


@pytest.mark.parametrize("form", ["--trainer.callbacks=[{spec}]", "--trainer.callbacks+={spec}"])
def test_a_callback_of_the_users_own_needs_its_package_allowed(refusal, tmp_path, form):
    spec = "{class_path: failing.FailAt, init_args: {hook: on_train_batch_end, step: 1}}"
    assert "add --allow failing" in refusal("fit", *TINY, form.format(spec=spec))
    with pytest.raises(RuntimeError, match="planned failure"):
        run(tmp_path, "fit", *TINY, "--allow=failing", form.format(spec=spec))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (b"1,2.0,3,4\n", "line 3 has more cells than there are columns"),
        (b"x,2.0\n", "invalid literal"),
        (b"\xff\xfe,1\n", "utf-8"),
        (b'"' + 200_000 * b"9" + b'",1\n', "field larger than field limit"),
    ],
    ids=["cells", "step", "bytes", "field"],
)
def test_rows_before_damage_are_kept_and_the_damage_is_said_in_a_line(tmp_path, capsys, damage, reason):
    (tmp_path / "old/checkpoints").mkdir(parents=True)
    (tmp_path / "old/config.yaml").touch()
    csv.field_size_limit(2**17)  # Python's; a Table raises it
    (tmp_path / "old/metrics.csv").write_bytes(b"step,train/loss\n0,1.5\n" + damage)
    logger = CSVMetricsLogger(tmp_path / "new.csv")
    trainer = SimpleNamespace(fast_dev_run=False, loggers=[logger])
    _copy_rows(trainer, {"global_step": 5}, tmp_path / "old/checkpoints/last.ckpt")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{tmp_path / 'old/metrics.csv'} is damaged from here on, its other rows are kept: ")
    assert reason in line
    if reason != "utf-8":  # the whole file is decoded at once
        assert (tmp_path / "new.csv").read_text() == "step,train/loss\n0,1.5\n"
