"""Start command-line runs in test folders, and read their output."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock

from mot_lightning.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
TINY = [
    "--model.backbone.dim=16", "--model.backbone.depth=1", "--model.backbone.heads=2", "--model.backbone.ffn_dim=32",
    "--model.backbone.dropout=0.1", "--data.batch_size=4", "--trainer.max_steps=6", "--trainer.val_check_interval=3",
    "--trainer.limit_val_batches=2", "--trainer.limit_test_batches=1", "--trainer.log_every_n_steps=1",
    "--samples.prompts=0", "--report.prompts=0", "--trainer.enable_progress_bar=false",
]  # fmt: skip

# in float64; plain steps show the gradient itself
EXACT = [
    "--model.modalities.image.objective=Regression", "--model.backbone.dropout=0", "--trainer.precision=64-true",
    "--model.optimizer.algorithm=SGD", "--model.optimizer.learning_rate=1", "--model.optimizer.warmup_steps=0",
    "--model.optimizer.schedule=constant", "--trainer.gradient_clip_val=0", "--trainer.max_steps=2",
    "--trainer.val_check_interval=2", "--data.document_settings.clean_context=1",
]  # fmt: skip


def run(folder: Path, *arguments: str) -> int:
    """Run a command line with its runs in `folder`, and return the exit code."""
    folders = [] if arguments[0] in ("generate", "export", "compare", "suite") else [f"--runs={folder}"]
    try:
        main([*arguments, *folders])
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def run_in_subprocess(
    *command: str, cwd: Path, env: Mapping[str, str] | None = None, timeout: float = 200, code: int = 0
) -> str:
    """The output of Python in a subprocess, with this checkout on its path, which ends with an exit code."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **(env or {})}
    command = (sys.executable, "-W", "ignore", *command)
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=timeout, cwd=cwd)
    assert finished.returncode == code, finished.stderr[-2000:]
    return finished.stdout


def shared_run(folder: Path, *arguments: str) -> Path:
    """The run folder of a command line that runs once for all pytest-xdist workers.

    Args:
        folder: the same on all workers.
    """
    with FileLock(folder.with_suffix(".lock")):
        if not (folder / "finished").is_file():
            assert run(folder, *arguments) == 0
            (folder / "finished").touch()
    return folder / "default/0"


def rows(folder: Path) -> list[dict[str, str]]:
    """The rows of metrics.csv with sorted columns, without empty cells."""
    with (folder / "metrics.csv").open() as file:
        return [{k: v for k, v in sorted(row.items()) if v} for row in csv.DictReader(file)]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """All weights of a run's last checkpoint."""
    return torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["state_dict"]


def failing(*failures: tuple[Any, ...]) -> list[str]:
    """Options that make a run fail: (hook, step, how) or (hook, step, how, rank) of each `failing.FailAt`."""
    names = ("hook", "step", "how", "rank")
    callbacks = [
        {"class_path": "failing.FailAt", "init_args": dict(zip(names, each, strict=False))} for each in failures
    ]
    return ["--allow=failing", f"--trainer.callbacks={json.dumps(callbacks)}"]
