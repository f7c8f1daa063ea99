"""What a run adds to Lightning's Trainer: loggers, callbacks, intervals in optimizer steps, and torchrun's ranks."""

import inspect
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback
from lightning.pytorch.loggers import Logger, TensorBoardLogger

from mot_lightning import callbacks
from mot_lightning.config.classes import LIBRARIES, check_arguments, check_keys, class_path_of, find_class
from mot_lightning.runs.best_effort import tolerant
from mot_lightning.runs.csv_logger import CSVMetricsLogger


def ranks_of_torchrun(trainer: dict[str, Any]) -> dict[str, Any]:
    """`devices` and `num_nodes` of the processes that torchrun started, unless the config sets `devices`."""
    if "TORCHELASTIC_RUN_ID" not in os.environ or trainer.get("devices", "auto") != "auto":
        return {}
    local = int(os.environ["LOCAL_WORLD_SIZE"])
    return {"devices": local, "num_nodes": int(os.environ["WORLD_SIZE"]) // local}


def in_run_folder(loggers: Any, folder: Path, allow: Sequence[str] = ()) -> Any:
    """The config of loggers, with the run's folder as `save_dir` of those that have one and do not set it."""
    if isinstance(loggers, list):
        return [in_run_folder(logger, folder, allow) for logger in loggers]
    if isinstance(loggers, str):
        loggers = {"class_path": loggers}
    if not isinstance(loggers, dict):
        return loggers
    path = class_path_of("trainer.logger", loggers)
    path = path if "." in path else f"lightning.pytorch.loggers.{path}"
    arguments = loggers.get("init_args") or {}
    kind = find_class(path, [*LIBRARIES, *allow])
    if "save_dir" in inspect.signature(kind).parameters:
        arguments = {"save_dir": str(folder), **arguments}
    check_keys("trainer.logger", loggers)
    check_arguments("trainer.logger", kind, arguments, listed=True)
    return {"class_path": path, "init_args": arguments}


def loggers_of(configured: Any, folder: Path) -> list[Logger]:
    """metrics.csv and the configured loggers; TensorBoard if none is configured, and only metrics.csv for False.

    None of them ends a run.
    """
    loggers: list[Logger] = [CSVMetricsLogger(folder / "metrics.csv")]
    if configured in (None, True):
        loggers.append(TensorBoardLogger(folder, name="", version="tensorboard"))
    else:
        loggers += configured if isinstance(configured, list) else [configured] if configured else []
    return [tolerant(logger) for logger in loggers]


def intervals(trainer: dict[str, Any]) -> dict[str, Any]:
    """`val_check_interval` in batches, as Lightning counts it, from optimizer steps; at most all steps of the run."""
    steps, every = trainer.get("max_steps") or -1, trainer.get("val_check_interval")
    if type(every) is not int:
        return {}
    every = min(every, steps) if steps > 0 else every
    return {"val_check_interval": every * (trainer.get("accumulate_grad_batches") or 1)}


def callbacks_of(
    configured: Sequence[Callback] | None, bar: bool, of_steps: Sequence[type[Callback]]
) -> list[Callback]:
    """All callbacks of a run, apart from those with settings of their own.

    Args:
        configured: by the user.
        bar: whether to show a progress bar.
        of_steps: those that measure the training steps of this kind of module; one of the user takes its place.
    """
    return [
        *(configured or ()),
        *([callbacks.StepProgress()] if bar else []),
        *(kind() for kind in of_steps if not any(type(one) is kind for one in configured or ())),
        callbacks.ExactResume(),
        callbacks.StopOnSignal(),
        callbacks.Checkpoints(),
    ]


def sort_callbacks(trainer: Any) -> None:
    """Ours first, so that rows are written before anything may raise; a checkpoint before samples and before a stop."""
    samples = {callbacks.SampleLogger: 3, callbacks.Reconstructions: 3, callbacks.TaskMetrics: 3}
    last = {callbacks.Checkpoints: 2, **samples, callbacks.StopOnSignal: 4}
    ours = tuple(kind for kind in vars(callbacks).values() if isinstance(kind, type) and kind not in last)
    trainer.callbacks.sort(key=lambda c: last.get(type(c), 0 if isinstance(c, ours) else 1))
