"""Resumed equals uninterrupted, bitwise, wherever and however a run ended."""

import csv
from pathlib import Path

import pytest
import torch

from mot_lightning.cli import main

TINY = [
    "--model.backbone.dim=16", "--model.backbone.depth=1", "--model.backbone.heads=2", "--model.backbone.ffn_dim=32",
    "--model.backbone.dropout=0.1", "--data.batch_size=4", "--trainer.max_steps=6", "--trainer.val_check_interval=3",
    "--trainer.limit_val_batches=2", "--trainer.limit_test_batches=1", "--metrics.every_n_steps=1",
    "--samples.prompts=0", "--report.prompts=0", "--trainer.enable_progress_bar=false",
]  # fmt: skip


def run(folder: Path, *arguments: str) -> int:
    """Run a command line in a folder; its exit code."""
    try:
        main([*arguments, f"--runs={folder}"])
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def rows(run: Path) -> list[dict[str, str]]:
    """The rows of a metrics.csv, in an order that does not depend on which columns came first."""
    with (run / "metrics.csv").open() as file:
        return [{k: v for k, v in sorted(row.items()) if v} for row in csv.DictReader(file)]


def weights(run: Path) -> dict[str, torch.Tensor]:
    return torch.load(run / "checkpoints/last.ckpt", weights_only=True)["state_dict"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nothing interrupts."""
    folder = tmp_path_factory.mktemp("whole")
    assert run(folder, "fit", *TINY) == 0
    return folder / "default/0"


POINTS = [
    ("on_train_batch_start", 0, "exception"),
    ("on_train_batch_end", 1, "SIGTERM"),
    ("on_before_optimizer_step", 1, "exception"),
    ("on_train_batch_end", 2, "exception"),
    ("on_train_batch_end", 3, "exception"),
    ("on_train_batch_end", 3, "SIGTERM"),
    ("on_validation_start", 3, "exception"),
    ("on_validation_batch_end", 3, "SIGINT"),
    ("on_validation_end", 3, "exception"),
    ("on_validation_end", 3, "SIGINT"),
    ("on_train_batch_start", 4, "SIGINT"),
    ("on_train_batch_end", 6, "exception"),
    ("on_validation_batch_end", 6, "exception"),
]


@pytest.mark.parametrize(("hook", "step", "how"), POINTS)
def test_a_run_that_ended_anywhere_goes_on_bitwise_equal(whole, tmp_path, monkeypatch, hook, step, how):
    callback = (
        f'[{{"class_path": "failing.FailAt", "init_args": {{"hook": "{hook}", "step": {step}, "how": "{how}"}}}}]'
    )
    arguments = ["fit", *TINY, "--allow=failing", f"--trainer.callbacks={callback}"]
    if how == "exception":
        with pytest.raises(RuntimeError, match="planned failure"):
            run(tmp_path, *arguments)
    else:
        assert run(tmp_path, *arguments) == 128 + {"SIGINT": 2, "SIGTERM": 15}[how]
    last = tmp_path / "default/0/checkpoints/last.ckpt"
    assert last.is_file()

    assert run(tmp_path, "fit", f"--ckpt_path={last}", "--trainer.callbacks=null") == 0
    resumed = tmp_path / "default/1"
    assert rows(resumed) == rows(whole)
    ours, theirs = weights(resumed), weights(whole)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_two_runs_with_one_seed_are_bitwise_equal(whole, tmp_path):
    assert run(tmp_path, "fit", *TINY) == 0
    assert rows(tmp_path / "default/0") == rows(whole)
