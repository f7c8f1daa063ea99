"""Signals end training after the current step, on all ranks, and other commands at once."""

import os
import signal
import subprocess
import sys

import pytest
import torch
from runs import ROOT, TINY, failing, run


@pytest.mark.parametrize(("how", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
@pytest.mark.parametrize(
    ("command", "hook"),
    [("test", "on_test_batch_end"), ("test", "on_test_end"), ("validate", "on_validation_batch_end"), ("fit", "setup")],
)
def test_signal_ends_test_validate_and_fit_setup_at_once(tmp_path, capsys, trained, command, hook, how, code):
    options = TINY if command == "fit" else [f"--ckpt_path={trained / 'checkpoints/last.ckpt'}", "--report.prompts=0"]
    assert run(tmp_path, command, *options, *failing((hook, 0, how))) == code
    error = capsys.readouterr().err
    assert error.endswith(f"\nstopped by {how}\n")
    assert "Traceback" not in error


def test_signal_in_the_final_test_prints_the_test_command(tmp_path, capsys):
    assert run(tmp_path, "fit", *TINY, *failing(("on_test_batch_end", 6, "SIGINT"))) == 130
    last = tmp_path / "default/0/checkpoints/last.ckpt"
    assert f"stopped by SIGINT; test with: python -m mot_lightning test --ckpt_path {last}" in capsys.readouterr().err
    assert last.is_file()


def test_stopped_run_prints_the_resume_command(tmp_path, capsys):
    assert run(tmp_path, "fit", *TINY, *failing(("on_train_batch_end", 2, "SIGTERM"))) == 143
    last = tmp_path / "default/0/checkpoints/last.ckpt"
    assert f"stopped by SIGTERM; resume with: python -m mot_lightning fit --ckpt_path {last}" in capsys.readouterr().err
    assert torch.load(last, weights_only=True)["global_step"] == 2


def test_a_signal_after_the_last_step_stops_before_the_test(tmp_path, capsys):
    assert run(tmp_path, "fit", *TINY, *failing(("on_train_end", 6, "SIGTERM"))) == 143
    last = tmp_path / "default/0/checkpoints/last.ckpt"
    assert f"stopped by SIGTERM; resume with: python -m mot_lightning fit --ckpt_path {last}" in capsys.readouterr().err
    assert torch.load(last, weights_only=True)["global_step"] == 6
    assert not (tmp_path / "default/0/metrics.json").exists()


@pytest.mark.parametrize("how", ["SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU"])
def test_signals_of_terminals_and_schedulers_save_too(tmp_path, capsys, how):
    fails = failing(("on_train_batch_end", 2, how))
    assert run(tmp_path, "fit", *TINY, *fails) == 128 + getattr(signal, how)
    assert f"stopped by {how}; resume with" in capsys.readouterr().err
    assert torch.load(tmp_path / "default/0/checkpoints/last.ckpt", weights_only=True)["global_step"] == 2


def test_an_ignored_hangup_stays_ignored(tmp_path):
    """As under `nohup`."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert run(tmp_path, "fit", *TINY, *failing(("on_train_batch_end", 2, "SIGHUP"))) == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_the_signal_to_requeue_a_job_of_slurm_saves_after_the_step_and_does_not_stop(tmp_path, monkeypatch):
    last, called = tmp_path / "default/0/checkpoints/last.ckpt", []

    def call(command):
        called.append((command, torch.load(last, weights_only=True)["global_step"]))
        return 0

    monkeypatch.setattr("lightning.pytorch.trainer.connectors.signal_connector.call", call)
    job = {"JOB_ID": "7", "JOB_NAME": "train", "NTASKS": "1", "PROCID": "0", "LOCALID": "0", "NODEID": "0"}
    for name, value in job.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    fails = failing(("on_before_optimizer_step", 1, "SIGUSR1"))
    assert run(tmp_path, "fit", *TINY, *fails) == 0
    assert called == [(["scontrol", "requeue", "7"], 2)]
    assert torch.load(last, weights_only=True)["global_step"] == 6
    assert not [*last.parents[1].glob("*.ckpt")]  # which Lightning would load for the test


def test_an_exception_inside_an_update_keeps_the_earlier_checkpoint(tmp_path, capsys, monkeypatch):
    from mot_lightning.training.optimizer import OptimizerSettings

    def failing_update(self, ema_model, model, n):
        if n == 5:
            raise RuntimeError("planned failure")

    monkeypatch.setattr(OptimizerSettings, "update_ema", failing_update)
    with pytest.raises(RuntimeError, match="planned failure"):
        run(tmp_path, "fit", *TINY)
    assert "last.ckpt is not written: the run ended inside step 5" in capsys.readouterr().err
    assert torch.load(tmp_path / "default/0/checkpoints/last.ckpt", weights_only=True)["global_step"] == 3


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.timeout(120)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_one_of_two_ranks_stops_both(tmp_path, number):
    fails = failing(("on_train_batch_start", 4, signal.Signals(number).name, 1))
    ranks = ["--trainer.devices=2", "--trainer.accelerator=cpu", "--trainer.strategy=ddp"]
    command = [sys.executable, "-W", "ignore", "-m", "mot_lightning", "fit", *TINY, *fails, *ranks, "--runs=runs"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT}:{ROOT / 'tests/helpers'}"}
    finished = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert finished.returncode == 128 + number, finished.stderr[-2000:]
    assert torch.load(tmp_path / "runs/default/0/checkpoints/last.ckpt", weights_only=True)["global_step"] == 5
