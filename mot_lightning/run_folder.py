"""The run folder: runs/<experiment>/<n>/, chosen once, never overwritten, and what loggers write there."""

import csv
import os
from pathlib import Path
from typing import Any

import yaml
from lightning.pytorch.loggers import Logger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only

from mot_lightning.config import ConfigError

CHOSEN = "MOT_LIGHTNING_RUN"  # how processes that one rank launches learn which folder it chose


def choose(root: Any, experiment: Any) -> Path:
    """The next free root/<experiment>/<n>; nothing is created yet.

    Raises:
        ConfigError: one of the two is no name.
    """
    if CHOSEN in os.environ and os.environ.get("LOCAL_RANK", "0") != "0":
        return Path(os.environ[CHOSEN])
    if not isinstance(root, str) or not root:
        raise ConfigError(f"runs is {root!r}, wanted the name of a folder")
    if not isinstance(experiment, str) or Path(experiment).name != experiment or experiment in ("", "."):
        raise ConfigError(f"experiment is {experiment!r}, wanted a plain folder name")
    folder = Path(root) / experiment
    taken = [int(p.name) for p in folder.iterdir() if p.name.isdigit()] if folder.is_dir() else []
    chosen = folder / str(max(taken, default=-1) + 1)
    os.environ[CHOSEN] = str(chosen)
    return chosen


def create(folder: Path, config: dict[str, Any]) -> bool:
    """Make the folder, with the whole config in it; whether it was not there yet.

    Raises:
        ConfigError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        return False
    except OSError as error:
        raise ConfigError(f"run folder {folder} cannot be made: {error.strerror}") from None
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    return True


def loggers(folder: Path) -> list[Logger]:
    """metrics.csv and TensorBoard's events, in the folder; nothing is written before the first row."""
    return [Rows(folder / "metrics.csv"), TensorBoardLogger(folder, name="", version="tensorboard")]


class Rows(Logger):
    """A CSV file, flushed row by row. A resumed run's begins with the old run's rows; no row is written twice.

    Lightning's CSVLogger deletes the rows of a folder that it is given again and warns of other files in it.
    """

    name, version = "rows", 0

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.columns: list[str] = []
        self._rows: list[dict[str, Any]] = []
        self._written: set[tuple[int, frozenset[str]]] = set()

    def begin_with(self, rows: Path, step: int) -> None:
        """Take over the rows of an earlier run up to a step."""
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
        new = [name for name in self._rows[-1] if name not in self.columns]
        self.columns += new
        with self.path.open("w" if new else "a", newline="") as file:
            writer = csv.DictWriter(file, self.columns)
            if new:
                writer.writeheader()
            writer.writerows(self._rows if new else self._rows[-1:])

    def log_hyperparams(self, *_: Any, **__: Any) -> None:
        """The run's config.yaml holds them."""
