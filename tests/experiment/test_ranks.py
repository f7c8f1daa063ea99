"""Ranks that a run launches end with it, with one exit code, whichever of them gets a signal or crashes, and when."""

import os
import signal
import subprocess
import sys

import pytest
from runs import ROOT, TINY, failing

# rank 1 is the first argument; rank 0 is a function of the second one's name, in the state of a real one
PROGRAM = """
import os, signal, sys, threading, time
from datetime import timedelta
from lightning.fabric.plugins.environments import LightningEnvironment
from lightning.pytorch.strategies.launchers import subprocess_script
from torch.distributed import TCPStore
from mot_lightning.experiment import ranks
from mot_lightning.signals import interruptible

def waits_for_rank_1_in_c():
    TCPStore("localhost", 0, 2, True, timedelta(seconds=60), True)

def receives_a_signal_as_it_waits_in_c():
    threading.Timer(1, os.kill, (os.getpid(), signal.SIGTERM)).start()
    waits_for_rank_1_in_c()

def sleeps():
    time.sleep(60)

def fails_as_its_connection_is_closed():
    Strategy.launcher.launched[0].wait()
    raise RuntimeError("connection closed by peer")

def receives_a_signal():
    signal.raise_signal(signal.SIGTERM)

def is_killed():
    os.kill(os.getpid(), signal.SIGKILL)

def returns():
    pass

class Strategy:
    launcher = ranks.Launcher(LightningEnvironment(), 2, 1)

subprocess_script._basic_subprocess_cmd = lambda: [sys.executable, "-c", sys.argv[1]]
ranks.GRACE = 0.5
with interruptible(), ranks.ended_together(Strategy):
    try:
        Strategy.launcher.launch(globals()[sys.argv[2]])
    finally:
        print(Strategy.launcher.launched[0].pid)
"""
A_RANK = """
import time
from lightning.fabric.plugins.environments import LightningEnvironment
from mot_lightning.experiment.ranks import Launcher
Launcher(LightningEnvironment(), 2, 1).launch(time.sleep, 600)
"""
SLEEPS, BY_SIGNAL, AFTER_SIGNAL = (
    "import time; time.sleep(60)",
    "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
    "raise SystemExit(143)",
)


def ended(rank_1, rank_0):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", PROGRAM, rank_1, rank_0]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=50)


@pytest.mark.parametrize(
    ("rank_1", "rank_0"),
    [
        (BY_SIGNAL, "waits_for_rank_1_in_c"),
        (AFTER_SIGNAL, "sleeps"),
        (BY_SIGNAL, "fails_as_its_connection_is_closed"),
        (SLEEPS, "receives_a_signal"),
        (SLEEPS, "receives_a_signal_as_it_waits_in_c"),
    ],
)
def test_a_signal_to_either_rank_ends_both_with_its_exit_code(rank_1, rank_0):
    process = ended(rank_1, rank_0)
    assert process.returncode == 143, process.stderr
    assert process.stderr.endswith("\nstopped by SIGTERM\n")
    assert "Traceback" not in process.stderr


@pytest.mark.parametrize(
    ("rank_1", "rank_0", "code"),
    [
        ("raise SystemExit(3)", "waits_for_rank_1_in_c", 3),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "sleeps", -9),
    ],
)
def test_a_crash_of_rank_1_ends_rank_0(rank_1, rank_0, code):
    process = ended(rank_1, rank_0)
    assert process.returncode == 1
    assert process.stderr == f"\nerror: another rank ended with exit code {code}\n"


def test_no_rank_is_left_that_does_not_end_by_itself():
    process = ended(SLEEPS, "returns")
    assert process.returncode == 0
    with pytest.raises(ProcessLookupError):
        os.kill(int(process.stdout), 0)


def test_a_rank_ends_once_rank_0_was_killed():
    process = ended(A_RANK, "is_killed")  # returns when both have closed its output
    assert process.returncode == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("hook", "step", "how", "code"),
    [
        ("setup", 0, "SIGTERM", 143),
        ("on_validation_batch_end", 3, "SIGTERM", 143),
        ("on_test_batch_end", 6, "SIGTERM", 143),
        ("on_train_batch_start", 2, "exception", 1),
    ],
)
def test_one_of_two_ranks_ends_both(tmp_path, hook, step, how, code):
    fails = failing((hook, step, how, 1))
    ranks = ["--trainer.devices=2", "--trainer.accelerator=cpu", "--trainer.strategy=ddp"]
    command = [sys.executable, "-W", "ignore", "-m", "mot_lightning", "fit", *TINY, *fails, *ranks, "--runs=runs"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT}:{ROOT / 'tests/helpers'}"}
    process = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert process.returncode == code, process.stderr[-2000:]
    assert (tmp_path / "runs/default/0/checkpoints/last.ckpt").is_file() == (step >= 3)
    if code == 128 + signal.SIGTERM:
        assert "stopped by SIGTERM" in process.stderr
