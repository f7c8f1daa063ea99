"""metrics.csv: one row for each step and stage, on disk as soon as it is logged."""

import csv
import io
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from mot_lightning.errors import NotWritten
from mot_lightning.runs.atomic import write_text


class CSVMetricsLogger(Logger):
    """Writes a CSV file. A resumed run begins with the old run's rows.

    Metrics of the same step and stage share a row, whoever logs them. The stage is the first part of a name: `train`,
    `val` or `test`; other names (`lr-AdamW`) belong to `train`. Lightning's CSVLogger deletes existing rows, keeps all
    in memory until it saves, and has a row for each call.
    """

    version = ""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.columns: list[str] = []
        self._rows: dict[tuple[int, str], dict[str, Any]] = {}  # by step and stage, in the order of their first metric
        self._end = 0  # size of the file without its last row
        self._incomplete = False  # whether a write failed

    @property
    def name(self) -> str:
        return ""

    @property
    def save_dir(self) -> str:
        """The run's folder, where Lightning's ModelCheckpoint puts `checkpoints/`."""
        return str(self.path.parent)

    @rank_zero_only
    def begin_with(self, rows: Path, step: int) -> None:
        """Copy the rows of an earlier run up to a step; of this run's own file, drop the later ones.

        Raises:
            NotWritten: the system refused a write.
        """
        try:
            with rows.open(newline="", encoding="utf-8") as file:
                lines = csv.DictReader(file)
                for row in lines:
                    if None in row:
                        raise ValueError(f"line {lines.line_num} has more cells than there are columns")
                    number = int(row.pop("step"))
                    if number <= step:
                        self._add({name: value for name, value in row.items() if value}, number)
        finally:
            self._incomplete = True
            self._rewrite()  # at once, where another writer would lose rows to a kill
            self._incomplete = False

    def _add(self, metrics: dict[str, Any], step: int) -> None:
        """Add metrics to the rows, but not to the file."""
        for stage, row in _by_stage(metrics).items():
            self._rows.setdefault((step, stage), {"step": step}).update(row)
            self.columns += [name for name in ("step", *row) if name not in self.columns]

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, Any], step: int | None = None) -> None:
        for stage, row in _by_stage(metrics).items():
            self._write(int(step or 0), stage, row)

    def _write(self, step: int, stage: str, metrics: dict[str, Any]) -> None:
        key = (step, stage)
        is_last = bool(self._rows) and key == next(reversed(self._rows))
        is_new = key not in self._rows
        row = self._rows.setdefault(key, {"step": step})
        row.update(metrics)
        new_columns = [name for name in row if name not in self.columns]
        self.columns += new_columns
        rewrites = new_columns or self._incomplete or not (is_new or is_last)
        self._incomplete = True
        if rewrites:
            self._rewrite()
        else:
            self._write_last(row, self._end if is_last else None)
        self._incomplete = False

    def _write_last(self, row: dict[str, Any], start: int | None) -> None:
        """Write the last row, at the end or in place of the one that starts there."""
        try:
            with self.path.open("r+", newline="", encoding="utf-8") as file:
                self._end = file.seek(0, io.SEEK_END) if start is None else file.seek(start)
                csv.DictWriter(file, self.columns).writerow(row)
                file.truncate()
        except OSError as error:
            raise NotWritten(f"{self.path} cannot be written: {error.strerror}") from error

    def _rewrite(self) -> None:
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, self.columns)
        writer.writeheader()
        start = text.tell()
        for row in self._rows.values():
            start = text.tell()
            writer.writerow(row)
        write_text(self.path, text.getvalue())
        self._end = len(text.getvalue()[:start].encode())

    def log_hyperparams(self, *_: Any, **__: Any) -> None:
        """Nothing: the config.yaml of the run has them."""


def _by_stage(metrics: dict[str, Any]) -> dict[str, dict[str, Any]]:
    by_stage: dict[str, dict[str, Any]] = {}
    for name, value in metrics.items():
        if name != "epoch":  # Lightning adds it to what `self.log` logs
            stage = name.partition("/")[0]
            by_stage.setdefault(stage if stage in ("val", "test") else "train", {})[name] = value
    return by_stage
