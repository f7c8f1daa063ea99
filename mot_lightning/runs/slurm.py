"""SLURM's jobs: one that was put back into the queue goes on in the run folder that it began."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mot_lightning.runs.atomic import write_json

RECORD = "slurm.json"  # in the run's folder: the job and its command line


def record(folder: Path, command_line: Mapping[str, Any]) -> None:
    """Write down which job began a run; nothing outside of a job.

    Raises:
        NotWritten: the system refused a write.
    """
    if job := _job():
        write_json(folder / RECORD, {"job": job, **_plain(command_line)})


def begun(folder: Path, command_line: Mapping[str, Any]) -> Path | None:
    """The newest run in the folder of an experiment that this job began by the same command line, before a restart."""
    job = _job()
    if not job or int(os.environ.get("SLURM_RESTART_COUNT", "0")) < 1 or not folder.is_dir():
        return None
    numbers = sorted((int(run.name) for run in folder.iterdir() if run.name.isdecimal()), reverse=True)
    expected = {"job": job, **_plain(command_line)}
    return next((folder / str(number) for number in numbers if _read(folder / str(number)) == expected), None)


def _job() -> str | None:
    return None if os.environ.get("SLURM_JOB_NAME") in ("bash", "interactive") else os.environ.get("SLURM_JOB_ID")


def _plain(command_line: Mapping[str, Any]) -> Any:
    return json.loads(json.dumps(dict(command_line), default=str))


def _read(run: Path) -> Any:
    try:
        return json.loads((run / RECORD).read_text())
    except (OSError, ValueError):  # of another kind of run, or damaged
        return None
