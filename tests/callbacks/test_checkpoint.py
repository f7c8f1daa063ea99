"""Checkpoints hold finite and complete weights, however the run ends."""

import json
import shutil
import signal
from pathlib import Path

import pytest
import torch
from full_disk import full_disk
from runs import TINY, failing, rows, run

from mot_lightning.callbacks import SampleLogger
from mot_lightning.runs.checkpoint import AtomicCheckpointIO
from mot_lightning.runs.integrity import is_intact


def test_signal_after_nan_weights_does_not_overwrite_last_checkpoint(tmp_path, capsys):
    failures = failing(("on_train_batch_end", 5, "nan"), ("on_train_batch_end", 5, "SIGTERM"))
    assert run(tmp_path, "fit", *TINY, "--trainer.log_every_n_steps=8", *failures) == 143
    error = capsys.readouterr().err
    assert "last.ckpt is not written: the norm of all weights is nan at step 5" in error
    assert "stopped by SIGTERM" in error
    assert torch.load(tmp_path / "default/0/checkpoints/last.ckpt", weights_only=True)["global_step"] == 3


def test_second_signal_while_saving_does_not_corrupt_last_checkpoint(tmp_path, monkeypatch):
    def write(self, checkpoint, path, storage_options):
        signal.raise_signal(signal.SIGINT)
        save_checkpoint(self, checkpoint, path, storage_options)

    save_checkpoint = AtomicCheckpointIO.save_checkpoint
    monkeypatch.setattr(AtomicCheckpointIO, "save_checkpoint", write)
    assert run(tmp_path, "fit", *TINY, *failing(("on_train_batch_end", 2, "SIGINT"))) == 130
    assert torch.load(tmp_path / "default/0/checkpoints/last.ckpt", weights_only=True)["global_step"] == 2


def test_best_checkpoint_has_the_lowest_validation_loss(trained):
    losses = {int(row["step"]): float(row["val/loss"]) for row in rows(trained) if "val/loss" in row}
    assert set(losses) == {3, 6}
    best = torch.load(trained / "checkpoints/best.ckpt", weights_only=True)
    assert best["global_step"] == min(losses, key=losses.__getitem__)


@pytest.fixture
def before(tmp_path, trained):
    """Writes a run that was stopped at its last validation with a best score below any later loss."""

    def written(folder="before", best=trained / "checkpoints/best.ckpt", **state):
        last = torch.load(trained / "checkpoints/last.ckpt", weights_only=True)
        (name,) = [name for name in last["callbacks"] if name.startswith("Checkpoints")]
        last["callbacks"][name] |= {"best_model_score": torch.tensor(-1.0), **state}
        (tmp_path / folder).mkdir()
        AtomicCheckpointIO().save_checkpoint(last, tmp_path / folder / "last.ckpt")
        if best is not None:
            shutil.copyfile(best, tmp_path / folder / "best.ckpt")
        return tmp_path / folder / "last.ckpt"

    return written


def state_of(path):
    """The state of `Checkpoints` in a file."""
    callbacks = torch.load(path, weights_only=True)["callbacks"]
    return next(state for name, state in callbacks.items() if name.startswith("Checkpoints"))


GO_ON = ["--trainer.max_steps=7", "--trainer.val_check_interval=1", "--report.prompts=0", "--samples.prompts=0"]


def test_resumed_run_keeps_the_earlier_best_checkpoint_until_improved(tmp_path, trained, before):
    assert run(tmp_path, "fit", f"--ckpt_path={before()}", *GO_ON) == 0
    best = (tmp_path / "default/0/checkpoints/best.ckpt").read_bytes()
    assert best == (trained / "checkpoints/best.ckpt").read_bytes()
    assert not list((tmp_path / "default/0/checkpoints").glob(".*"))
    # and again from there: the file is known by its digest, wherever the run lies
    (tmp_path / "default/0").rename(tmp_path / "moved")
    again = [f"--ckpt_path={tmp_path / 'moved/checkpoints/last.ckpt'}", *GO_ON, "--trainer.max_steps=8"]
    assert run(tmp_path, "fit", *again) == 0
    assert (tmp_path / "default/0/checkpoints/best.ckpt").read_bytes() == best


def test_best_checkpoint_of_another_run_or_path_is_not_taken(tmp_path, capsys, trained, before):
    """A state may name any path, and a file of another run may lie beside a checkpoint."""
    secret = tmp_path / "secret.txt"
    secret.write_text("of nobody's concern")
    others = before("hostile", None, best_model_path=str(secret)), before("other", trained / "checkpoints/last.ckpt")
    for number, last in enumerate(others):
        assert run(tmp_path, "fit", f"--ckpt_path={last}", *GO_ON) == 0
        assert "is missing or not the best checkpoint that" in capsys.readouterr().err
        best = tmp_path / f"default/{number}/checkpoints/best.ckpt"
        assert torch.load(best, weights_only=True)["global_step"] == 7  # the best of this run
        assert {file.name for file in best.parent.iterdir()} == {"best.ckpt", "last.ckpt", "last-1.ckpt"}


def test_best_checkpoint_itself_is_resumed_and_remains_the_best(tmp_path, trained, before):
    last = before()
    state = torch.load(trained / "checkpoints/best.ckpt", weights_only=True)
    (name,) = [name for name in state["callbacks"] if name.startswith("Checkpoints")]
    assert state["callbacks"][name]["best_digest"] is None
    state["callbacks"][name]["best_model_score"] = torch.tensor(-1.0)
    AtomicCheckpointIO().save_checkpoint(state, last.with_name("best.ckpt"))
    assert run(tmp_path, "fit", f"--ckpt_path={last.with_name('best.ckpt')}", *GO_ON) == 0
    best = tmp_path / "default/0/checkpoints/best.ckpt"
    assert best.read_bytes() == last.with_name("best.ckpt").read_bytes()


def test_a_test_copies_no_checkpoint(tmp_path, before):
    assert run(tmp_path, "test", f"--ckpt_path={before()}", "--report.prompts=0") == 0
    assert not (tmp_path / "default/0/checkpoints").exists()


def test_full_disk_while_the_best_is_copied_leaves_nothing_torn(tmp_path, capsys, before):
    with full_disk("*/default/0/checkpoints/*"):
        assert run(tmp_path, "fit", f"--ckpt_path={before()}", *GO_ON) == 1
    assert capsys.readouterr().err.strip().splitlines()[-1].startswith("error: ")
    assert not list((tmp_path / "default/0/checkpoints").iterdir())


def test_run_stopped_in_its_last_validation_knows_the_best_and_all_steps(tmp_path, trained):
    """The best before was a worse one, of an earlier step."""
    stopped = [*TINY, "--model.optimizer.learning_rate=0.01", *failing(("on_validation_batch_end", 6, "SIGTERM"))]
    assert run(tmp_path, "fit", *stopped) == 143
    checkpoints = tmp_path / "default/0/checkpoints"
    assert torch.load(checkpoints / "best.ckpt", weights_only=True)["global_step"] == 3
    assert run(tmp_path, "fit", f"--ckpt_path={checkpoints / 'last.ckpt'}", "--trainer.callbacks=null") == 0
    losses = {row["step"]: float(row["val/loss"]) for row in rows(tmp_path / "default/1") if "val/loss" in row}
    assert losses["6"] < losses["3"]
    resumed = tmp_path / "default/1/checkpoints"
    assert torch.load(resumed / "best.ckpt", weights_only=True)["global_step"] == 6
    assert float(state_of(resumed / "last.ckpt")["best_model_score"]) == pytest.approx(losses["6"])
    assert json.loads((tmp_path / "default/1/metrics.json").read_text())["fit/steps"] == 6


def test_last_checkpoint_is_written_at_each_validation_before_samples(tmp_path, before, monkeypatch):
    steps = []

    def failed(self, trainer, pl_module):
        last = Path(trainer.default_root_dir) / "checkpoints/last.ckpt"
        steps.append((trainer.global_step, torch.load(last, weights_only=True)["global_step"]))
        raise MemoryError

    monkeypatch.setattr(SampleLogger, "_write", failed)
    arguments = [*GO_ON, "--trainer.max_steps=8", "--samples.prompts=1"]
    assert run(tmp_path, "fit", f"--ckpt_path={before()}", *arguments) == 0
    assert steps == [(7, 7), (8, 8)]  # though none is the best


@pytest.mark.parametrize(
    ("name", "files", "writes"), [("best", 0, 0), ("best", 1, 30), ("last", 0, 1), ("last", 1, 30)]
)
def test_full_disk_ends_a_run_in_one_line_and_keeps_the_last_checkpoint(tmp_path, capsys, name, files, writes):
    with full_disk(f"*/.{name}.ckpt.*", files, writes) as written:
        assert run(tmp_path, "fit", *TINY, "--model.optimizer.learning_rate=0.01") == 1
    assert len(written) == files + 1
    folder = tmp_path / "default/0/checkpoints"
    kept = f"; its last good checkpoint is {folder / 'last.ckpt'}" if files else ""
    line = f"error: {folder / f'{name}.ckpt'} cannot be written: No space left on device{kept}"
    assert capsys.readouterr().err.strip() == line
    assert all(is_intact(file) for file in folder.iterdir())
    if files:
        assert torch.load(folder / "last.ckpt", weights_only=True)["global_step"] == 3


def test_full_disk_does_not_hide_what_ended_the_run(tmp_path, capsys):
    with full_disk("*/.last.ckpt.*"):
        assert run(tmp_path, "fit", *TINY, *failing(("on_train_batch_end", 2, "SIGTERM"))) == 143
    first, *_, last = capsys.readouterr().err.strip().splitlines()
    assert first.startswith("last.ckpt is not written: ")
    assert last == "stopped by SIGTERM"
