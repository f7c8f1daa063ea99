"""What a checkpoint and the run folder around it say of a training: steps, settings and figures of its test."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mot_lightning.runs.find import run_folder_of

RUNS = "runs"  # the setting that says where the run was


def training_record(checkpoint: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Plain values: experiment, step, settings, and test metrics if they were measured on these weights.

    Paths in the settings are shortened to their last part: they say nothing elsewhere.

    Args:
        path: of the checkpoint.
    """
    config, step = checkpoint["config"], checkpoint.get("global_step")
    folder = run_folder_of(path)
    metrics = _read(folder / "metrics.json") if folder else {}
    tested = {name: value for name, value in metrics.items() if name.startswith("test/")}
    return {
        "experiment": config.get("experiment"),
        "step": step,
        "settings": _without_folders({name: value for name, value in config.items() if name != RUNS}),
        "metrics": tested if metrics.get("fit/steps") == step else {},  # else of other weights of the run
    }


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # the run was not tested, or the file is damaged
        return {}
    return content if isinstance(content, dict) else {}


def _without_folders(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_folders(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_folders(item) for item in value]
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value
