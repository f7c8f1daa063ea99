"""SIGKILL at random moments while checkpoints are written: what is left, and whether the run goes on from it.

    python benchmarks/reliability/kills.py [--count 200] [--quick]

Each run is resumed from what the run before it left, trains, writes checkpoints at each step, and is killed: after its
first checkpoint, when the temporary file of another one is seen, within the time that one takes.
"""

import random
import shutil
import time
from pathlib import Path

from common import RUN, begin, child, ended, finish, kill, loadable, quiet_run
from runs import rows

SETTINGS = [
    *RUN, "--trainer.max_steps=100000", "--trainer.val_check_interval=1", "--samples.prompts=0",
    "--trainer.logger=false",
    "--model.optimizer.schedule=constant",
]  # fmt: skip
PATIENCE = 120  # seconds until a run must have written a checkpoint
SAVE = 0.04  # seconds that a checkpoint takes, about


def killed(folder: Path, number: int, arguments: list[str]) -> tuple[bool, bool]:
    """Start a run and kill it; returns whether it wrote a checkpoint, and whether it was killed while writing one."""
    process = child(lambda: quiet_run(folder, "fit", *arguments)[0])
    checkpoints = folder / f"default/{number}/checkpoints"
    end = time.monotonic() + PATIENCE
    while not (checkpoints / "last-1.ckpt").is_file() and time.monotonic() < end:
        time.sleep(0.01)
    started = (checkpoints / "last-1.ckpt").is_file()
    time.sleep(random.uniform(0, 0.3))
    while started and not any(checkpoints.glob(".*")) and time.monotonic() < end:
        time.sleep(0.0005)
    time.sleep(random.uniform(0, SAVE))
    kill(process)
    return started and ended(process) == -9, any(checkpoints.glob(".*"))


with begin(__doc__, count=200, quick=2) as (trials, folder):
    counts = dict.fromkeys(("killed in a write", "last.ckpt loads", "its predecessor loads", "neither", "resumed"), 0)
    failures: list[str] = []
    arguments = SETTINGS
    for number in range(trials + 1):
        started, writing = killed(folder, number, arguments)
        checkpoints = folder / f"default/{number}/checkpoints"
        if number:  # the run before was resumed if this one has got further
            counts["resumed"] += started
        if not started:
            failures.append(f"run {number} wrote no checkpoint from {arguments[-1]}")
            break
        if number == trials:  # only to resume the last kill
            break
        counts["killed in a write"] += writing
        last, previous = (checkpoints / name for name in ("last.ckpt", "last-1.ckpt"))
        counts["last.ckpt loads"] += loadable(last)
        counts["its predecessor loads"] += loadable(previous)
        if not loadable(last) and not loadable(previous):
            counts["neither"] += 1
            failures.append(f"neither checkpoint of {checkpoints} loads")
            break
        if [int(row["step"]) for row in rows(folder / f"default/{number}")] == []:
            failures.append(f"{number}: metrics.csv is empty")
        if number % 20 == 19:
            print(number + 1, counts, flush=True)
        shutil.rmtree(folder / f"default/{number - 1}", ignore_errors=True)
        arguments = [f"--ckpt_path={last if loadable(last) else previous}"]
    finish(trials, counts, failures)
