"""Signals at random times of a run on several ranks: all end within 10 s, with a checkpoint that loads and 128 + n.

    python benchmarks/reliability/stops.py [--count 360] [--quick]

SIGTERM and SIGINT, to all ranks or to one, on 2 and 3 ranks, from start-up to the final test. A signal before training
ends the run without a checkpoint; one after its end finds it finished.
"""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
from common import begin, finish, loadable
from runs import ROOT, TINY
from tqdm import tqdm

PATIENCE = 10  # seconds from the signal to the end
SHORT = [
    *TINY, "--model.modalities.speech=null", "--trainer.max_steps=12", "--trainer.val_check_interval=6",
    "--samples.prompts=1", "--report.prompts=1",
]  # fmt: skip


def start(folder: Path, ranks: int) -> subprocess.Popen[str]:
    settings = [*SHORT, f"--trainer.devices={ranks}", "--trainer.accelerator=cpu", "--trainer.strategy=ddp"]
    command = [sys.executable, "-W", "ignore", "-m", "mot_lightning", "fit", *settings, f"--runs={folder}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def ranks_of(process: subprocess.Popen[str]) -> list[int]:
    """The processes of all ranks that have started; the first is rank 0."""
    try:
        children = psutil.Process(process.pid).children()
    except psutil.NoSuchProcess:
        return []
    return [process.pid, *(child.pid for child in children if "mot_lightning" in " ".join(child.cmdline()))]


def ranks_left(process: subprocess.Popen[str], until: float) -> int:
    """How many processes of a run are alive after its first one ended, once they had the time to end."""
    while True:
        left = [rank for rank in psutil.process_iter() if _session(rank) == process.pid]
        if not left or time.monotonic() > until:
            return len(left)
        time.sleep(0.1)


def _session(process: psutil.Process) -> int | None:
    with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
        return None if process.status() == psutil.STATUS_ZOMBIE else os.getsid(process.pid)
    return None


def trial(folder: Path, ranks: int, number: int, to_all: bool, after: float) -> tuple[str, str]:
    """The outcome of one signal, and what is wrong with it."""
    process = start(folder, ranks)
    try:
        time.sleep(after)
        receivers = ranks_of(process)
        for receiver in receivers if to_all else random.sample(receivers, min(1, len(receivers))):
            os.kill(receiver, number)
        sent = time.monotonic()
        _, errors = process.communicate(timeout=60)
        left = ranks_left(process, sent + PATIENCE)
        seconds = time.monotonic() - sent
    except (subprocess.TimeoutExpired, ProcessLookupError) as error:
        return ("hung", "hung") if isinstance(error, subprocess.TimeoutExpired) else ("finished", "")
    finally:
        with contextlib.suppress(ProcessLookupError):  # all ranks have ended
            os.killpg(process.pid, signal.SIGKILL)
    checkpoints = [*folder.glob("default/*/checkpoints/last.ckpt")]
    wrong = [f"{path} does not load" for path in checkpoints if not loadable(path)]
    wrong += [f"{left} ranks left"] * bool(left)
    if process.returncode == 0:
        return "finished", "; ".join(wrong)
    wrong += [f"exit code {process.returncode}"] * (process.returncode not in (128 + number, -number))
    wrong += [f"{seconds:.0f} s to the end"] * (seconds > PATIENCE)
    wrong += ["no checkpoint"] * ("resume with" in errors and not checkpoints)
    if process.returncode == -number:  # Python was starting or ending
        return "stopped outside of the command", "; ".join(wrong)
    return ("stopped with a checkpoint" if checkpoints else "stopped before training"), "; ".join(wrong)


with begin(__doc__, count=360, quick=4) as (trials, folder):
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a script started with & would ignore it, its runs too
    counts: dict[str, int] = {}
    failures = []
    began = time.monotonic()
    start(folder / "whole", 2).communicate()
    length = time.monotonic() - began
    for i in tqdm(range(trials)):
        ranks, number, to_all = 2 + i % 2, (signal.SIGTERM, signal.SIGINT)[i // 2 % 2], bool(i // 4 % 2)
        after = random.uniform(0, length)
        began = time.monotonic()
        outcome, wrong = trial(folder / str(i), ranks, number, to_all, after)
        if outcome == "finished":  # of a machine that has become faster, the signals would come too late
            length = min(length, time.monotonic() - began)
        counts[outcome] = counts.get(outcome, 0) + 1
        if wrong:
            receiver = "all ranks" if to_all else "one rank"
            failures.append(f"{signal.Signals(number).name} to {receiver} of {ranks} after {after:.1f} s: {wrong}")
            print(failures[-1], flush=True)
    finish(trials, counts, failures)
