"""Checkpoints hold finite and complete weights, however the run ends."""

import signal

import torch
from runs import TINY, failing, rows, run

from mot_lightning.runs.checkpoint import AtomicCheckpointIO


def test_signal_after_nan_weights_does_not_overwrite_last_checkpoint(tmp_path, capsys):
    failures = failing(("on_train_batch_start", 4, "nan"), ("on_train_batch_end", 5, "SIGTERM"))
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


def test_resumed_run_keeps_the_earlier_best_checkpoint_until_improved(tmp_path, trained):
    last = torch.load(trained / "checkpoints/last.ckpt", weights_only=True)
    (name,) = [name for name in last["callbacks"] if name.startswith("Checkpoints")]
    last["callbacks"][name]["best_model_score"] = torch.tensor(-1.0)  # below any later loss
    (tmp_path / "before").mkdir()
    torch.save(last, tmp_path / "before/last.ckpt")
    resumed = [f"--ckpt_path={tmp_path / 'before/last.ckpt'}", "--trainer.max_steps=9", "--report.prompts=0"]
    assert run(tmp_path, "fit", *resumed) == 0
    best = (tmp_path / "default/0/checkpoints/best.ckpt").read_bytes()
    assert best == (trained / "checkpoints/best.ckpt").read_bytes()
