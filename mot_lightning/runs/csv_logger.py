"""The loggers of a run: metrics.csv, flushed row by row, and TensorBoard events."""

import csv
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only


def loggers(folder: Path) -> list[Logger]:
    """Loggers of metrics.csv and TensorBoard events in a folder; nothing is written before the first row."""
    return [CSVMetricsLogger(folder / "metrics.csv"), TensorBoardLogger(folder, name="", version="tensorboard")]


class CSVMetricsLogger(Logger):
    """Writes a CSV file, flushed row by row. A resumed run begins with the old run's rows; no row is written twice.

    Lightning's CSVLogger deletes existing rows and warns about other files in its folder.
    """

    name, version = "rows", 0

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.columns: list[str] = []
        self._rows: list[dict[str, Any]] = []
        self._written: set[tuple[int, frozenset[str]]] = set()

    def begin_with(self, rows: Path, step: int) -> None:
        """Copy the rows of an earlier run up to a step."""
        with rows.open(newline="") as file:
            for row in csv.DictReader(file):
                number = int(row.pop("step"))
                if number <= step:
                    self.log_metrics({name: value for name, value in row.items() if value}, number)

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, Any], step: int | None = None) -> None:
        if (row := (step or 0, frozenset(metrics))) in self._written:
            return
        self._written.add(row)
        self._rows.append({"step": step or 0, **metrics})
        new_columns = [name for name in self._rows[-1] if name not in self.columns]
        self.columns += new_columns
        with self.path.open("w" if new_columns else "a", newline="") as file:
            writer = csv.DictWriter(file, self.columns)
            if new_columns:
                writer.writeheader()
            writer.writerows(self._rows if new_columns else self._rows[-1:])

    def log_hyperparams(self, *_: Any, **__: Any) -> None:
        """Nothing: the config.yaml of the run has them."""
