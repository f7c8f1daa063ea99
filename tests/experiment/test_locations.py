"""Where a run writes is for the command line to say, not for a checkpoint."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from runs import TINY, run

from mot_lightning.cli.main import main
from mot_lightning.experiment.locations import located
from mot_lightning.experiment.resolve import resolve

CLASSES = [
    ("callbacks", {"class_path": "ModelCheckpoint", "init_args": {"dirpath": "~/a", "monitor": "val/loss"}}),
    ("logger", {"class_path": "CSVLogger", "init_args": {"save_dir": "~/a", "version": "v"}}),
    ("logger", {"class_path": "MLFlowLogger", "init_args": {"save_dir": "~/a"}}),  # annotated as a text
    ("profiler", {"class_path": "lightning.pytorch.profilers.SimpleProfiler", "init_args": {"dirpath": "~/a"}}),
    ("profiler", {"class_path": "SimpleProfiler", "init_args": {"dirpath": "~/a", "filename": "f"}}),
]


def arguments_of(config, name):
    spec = config["trainer"][name]
    return (spec[0] if isinstance(spec, list) else spec)["init_args"]


@pytest.mark.parametrize(("name", "spec"), CLASSES)
def test_paths_of_the_trainers_classes_are_absolute_and_not_taken_from_a_checkpoint(
    monkeypatch, tmp_path, capsys, name, spec
):
    monkeypatch.setenv("HOME", str(tmp_path))
    config = resolve([], [(f"trainer.{name}", json.dumps(spec)), ("runs", "~/mine")])
    (key,) = {"dirpath", "save_dir"} & set(spec["init_args"])
    assert arguments_of(config, name)[key] == str(tmp_path / "a")
    assert config["runs"] == str(tmp_path / "mine")
    capsys.readouterr()
    resumed = resolve([], [], checkpoint_config=config)
    assert "runs" not in resumed
    assert arguments_of(resumed, name) == {
        other: value for other, value in arguments_of(config, name).items() if other != key
    }
    kind = spec["class_path"].rpartition(".")[2]
    line = f"trainer.{name}.{kind}.{key} is not taken from the checkpoint, which has {tmp_path / 'a'}\n"
    assert capsys.readouterr().out == line
    again = resolve([], [(f"trainer.{name}.{key}", "~/b")], checkpoint_config=config)
    assert arguments_of(again, name)[key] == str(tmp_path / "b")


def test_paths_in_lists_and_mappings_are_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert located(["a", {"b": "c"}, 3], "x", False) == [str(tmp_path / "a"), {"b": str(tmp_path / "c")}, 3]


def test_a_home_folder_is_one_path_from_any_working_folder(tmp_path, monkeypatch):
    """Two runs get two numbers, and nothing lies anywhere else."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        assert run(Path("~/x"), "fit", *TINY, "--trainer.max_steps=1") == 0
        assert not list((tmp_path / name).iterdir())
    for number in "01":
        folder = tmp_path / "home/x/default" / number
        states = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["callbacks"]
        (best,) = (state["best_model_path"] for name, state in states.items() if name.startswith("Checkpoints"))
        assert Path(best) == folder / "checkpoints/best.ckpt"


def test_resuming_writes_under_the_working_folder_and_reads_rows_only_of_a_run(tmp_path, monkeypatch, trained, capsys):
    (tmp_path / "moved/checkpoints").mkdir(parents=True)
    shutil.copy(trained / "checkpoints/last.ckpt", tmp_path / "moved/checkpoints")
    (tmp_path / "moved/metrics.csv").write_text("step,train/loss\n1,777\n")  # of anything
    monkeypatch.chdir(tmp_path)
    before = sorted(trained.parent.iterdir())
    main(["fit", "--ckpt_path=moved/checkpoints/last.ckpt"])
    assert "last.ckpt is in no run folder: the new metrics.csv begins at step 6" in capsys.readouterr().err
    _, *rows = (tmp_path / "runs/default/0/metrics.csv").read_text().splitlines()
    assert not [row for row in rows if row.startswith("1,")]
    assert sorted(trained.parent.iterdir()) == before
    assert sorted(path.name for path in (tmp_path / "moved").iterdir()) == ["checkpoints", "metrics.csv"]
