"""Shared by the scripts of this folder: their arguments, a tiny run in a child process, and whether it can go on."""

import argparse
import contextlib
import io
import os
import random
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests/helpers"))

import torch
from runs import TINY, run

import mot_lightning.commands.run  # noqa: F401  imported once, for all children
from mot_lightning.errors import ConfigError
from mot_lightning.runs.checkpoint import read_checkpoint

RUN = [
    *TINY, "--trainer.max_steps=4", "--trainer.val_check_interval=2", "--trainer.limit_val_batches=1",
    "--samples.prompts=1", "--model.optimizer.learning_rate=0.01",
]  # fmt: skip


@contextlib.contextmanager
def begin(text: str, count: int, quick: int) -> Iterator[tuple[int, Path]]:
    """Parse --count and --quick; yields the number of trials and a temporary folder.

    Args:
        count: without --count.
        quick: with --quick.
    """
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=count, help="trials")
    parser.add_argument("--quick", action="store_true", help=f"{quick} trials")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    random.seed(0)
    with tempfile.TemporaryDirectory() as folder:
        yield quick if arguments.quick else arguments.count, Path(folder)


def finish(trials: int, counts: dict[str, int], failures: list[str]) -> None:
    """Print the counts and what failed; the exit code says whether anything did."""
    print(f"{trials} trials:", ", ".join(f"{count} {name}" for name, count in counts.items()))
    print(*failures, sep="\n", end="\n" if failures else "")
    raise SystemExit(bool(failures))


def quiet_run(folder: Path, *arguments: str) -> tuple[int, str]:
    """The exit code and the error output of a command line; a traceback counts as 70."""
    errors = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(errors):
        try:
            return run(folder, *arguments), errors.getvalue().strip()
        except Exception:
            traceback.print_exc()
            return 70, errors.getvalue().strip()


def child(work: Callable[[], int]) -> int:
    """Start a child process that does some work and exits with its result; returns its id."""
    if process := os.fork():
        return process
    with contextlib.suppress(BaseException):
        os._exit(work())
    os._exit(70)


def ended(process: int) -> int:
    """The exit code of a child, or minus the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def kill(process: int) -> None:
    os.kill(process, signal.SIGKILL)


def loadable(path: Path) -> bool:
    try:
        read_checkpoint(path)
    except ConfigError:
        return False
    return True
