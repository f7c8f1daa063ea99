"""Runs the runs of a suite as processes of their own, several at a time; one that fails does not end the others."""

import os
import signal
import subprocess
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from mot_lightning.analysis.suite.planned import PlannedRun
from mot_lightning.bar import Bar
from mot_lightning.errors import say
from mot_lightning.signals import Interrupted

POLL = 0.2  # seconds between two looks at the processes
PATIENCE = 120.0  # seconds that interrupted runs have to write their checkpoints


def execute(
    runs: Sequence[PlannedRun], logs: Path, processes: int, title: str, failed: Collection[str] = ()
) -> dict[str, str]:
    """Run what is neither finished nor failed.

    Args:
        logs: folder of what the runs print, a file each.
        processes: at a time; they share the threads of the machine, unless OMP_NUM_THREADS says how many each has.

    Returns:
        The reasons of runs that failed, by their names.
    """
    waiting = [run for run in runs if not run.finished and run.name not in failed]
    threads = max(1, (os.cpu_count() or 1) // processes)
    env = {"OMP_NUM_THREADS": str(threads), **os.environ}
    failures: dict[str, str] = {}
    running: dict[subprocess.Popen[bytes], PlannedRun] = {}
    logs.mkdir(parents=True, exist_ok=True)
    with Bar(total=len(runs), initial=len(runs) - len(waiting), desc=title, unit="run", smoothing=0) as bar:
        try:
            while waiting or running:
                while waiting and len(running) < processes:
                    run = waiting.pop(0)
                    with log_of(run, logs).open("wb") as file:  # the process has its own
                        # Ctrl-C reaches all of a session: at a second signal, that of `_stop`, a run saves nothing
                        settings: Any = {"stdout": file, "stderr": file, "env": env, "start_new_session": True}
                        process = subprocess.Popen(run.command(), **settings)
                    running[process] = run
                    bar.set_postfix_str(run.name + (f" and {len(running) - 1} more" if len(running) > 1 else ""))
                for process in [process for process in running if process.poll() is not None]:
                    run = running.pop(process)
                    bar.update()
                    if not run.finished:
                        failures[run.name] = _reason(log_of(run, logs), process.returncode)
                        say(f"{run.name} failed: {failures[run.name]}; the others go on")
                time.sleep(POLL)
                bar.refresh()
        except (Interrupted, KeyboardInterrupt):
            _stop(running)
            raise
    return failures


def log_of(run: PlannedRun, logs: Path) -> Path:
    return logs / f"{run.folder.name}_{run.name.replace(', ', '_').replace(' ', '_')}.log"


def _stop(running: Collection[subprocess.Popen[bytes]]) -> None:
    """Let the runs write their checkpoints and end."""
    for process in running:
        process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + PATIENCE
    for process in running:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()


def _reason(log: Path, code: int) -> str:
    """The last line that a run printed, and where the others are."""
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return f"exit code {code}: {lines[-1].strip() if lines else 'it printed nothing'} ({log})"
