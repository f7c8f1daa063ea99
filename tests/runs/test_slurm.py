"""A job of SLURM that is put back into the queue goes on in its run folder, as if it had not been stopped."""

import os
import subprocess
import sys

import pytest
import torch
from runs import ROOT, TINY, failing, rows, run, weights

from mot_lightning.runs import slurm

JOB = {"JOB_ID": "71", "JOB_NAME": "train", "NTASKS": "1", "PROCID": "0", "LOCALID": "0", "NODEID": "0"}
COMMAND_LINE = {"configs": [], "settings": [("seed", "1")]}


@pytest.fixture
def restart(monkeypatch):
    """Set the environment of a job that was restarted so often."""

    def restarted(count, job="71", name="train"):
        for key, value in {"JOB_ID": job, "JOB_NAME": name, "RESTART_COUNT": str(count)}.items():
            monkeypatch.setenv(f"SLURM_{key}", value)

    return restarted


def test_only_a_restart_of_the_same_job_and_command_line_goes_on(tmp_path, restart):
    restart(0)
    for number in ("9", "10", "11"):
        (tmp_path / number).mkdir()
    for number in ("9", "10"):
        slurm.record(tmp_path / number, COMMAND_LINE)
    (tmp_path / "11" / slurm.RECORD).write_text("{")
    assert slurm.begun(tmp_path, COMMAND_LINE) is None
    restart(1)
    assert slurm.begun(tmp_path, COMMAND_LINE) == tmp_path / "10"
    assert slurm.begun(tmp_path, {**COMMAND_LINE, "settings": [("seed", "2")]}) is None
    assert slurm.begun(tmp_path / "none", COMMAND_LINE) is None
    restart(1, job="72")
    assert slurm.begun(tmp_path, COMMAND_LINE) is None
    restart(1, name="interactive")
    assert slurm.begun(tmp_path, COMMAND_LINE) is None


def test_outside_of_a_job_nothing_is_recorded(tmp_path, monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    slurm.record(tmp_path, COMMAND_LINE)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("end", "code", "step"), [pytest.param("TERM", 143, 3, marks=pytest.mark.slow), ("KILL", -9, 2)]
)
def test_a_requeued_run_equals_an_uninterrupted_one(tmp_path, end, code, step):
    """SLURM ends the processes of a job when it puts it back, at the latest by SIGKILL."""
    scontrol = tmp_path / "bin/scontrol"
    scontrol.parent.mkdir()
    scontrol.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path / "calls"}\nkill -{end} $PPID\n')
    scontrol.chmod(0o755)
    fails = failing(("on_train_batch_end", 2, "SIGUSR1"))
    command = [sys.executable, "-m", "mot_lightning", "fit", *TINY, *fails, "--runs=runs"]
    python_path = f"{ROOT}:{ROOT / 'tests/helpers'}"
    job = {f"SLURM_{name}": value for name, value in JOB.items()}
    environment = {**os.environ, **job, "PYTHONPATH": python_path, "PATH": f"{scontrol.parent}:{os.environ['PATH']}"}

    def start(count):
        counted = {**environment, "SLURM_RESTART_COUNT": str(count)}
        return subprocess.run(command, env=counted, cwd=tmp_path, capture_output=True, text=True, timeout=100)

    folder = tmp_path / "runs/default/0"
    assert start(0).returncode == code
    assert torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["global_step"] == step
    again = start(1)
    assert again.returncode == 0, again.stderr[-2000:]
    assert again.stderr == ""
    assert (tmp_path / "calls").read_text() == "requeue 71\n"
    assert [path.name for path in (tmp_path / "runs/default").iterdir()] == ["0"]

    assert run(tmp_path / "whole", "fit", *TINY) == 0
    whole = tmp_path / "whole/default/0"
    torch.testing.assert_close(weights(folder), weights(whole), rtol=0, atol=0)
    assert [*map(without_seconds, rows(folder))] == [*map(without_seconds, rows(whole))]


def without_seconds(row):
    return {name: value for name, value in row.items() if "second" not in name}
