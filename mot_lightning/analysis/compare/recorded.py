"""What a run folder says of a run: its config, its loss curves, and what a step of it took."""

import csv
import json
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from mot_lightning.analysis.compare.curves import Curve
from mot_lightning.analysis.training_factor import TRAINING_FACTOR
from mot_lightning.errors import ConfigError

MIN_POINTS = 4  # evaluations of a curve
COLUMN = re.compile(r"(val|test)/(?:([^/]+)/)?loss")


@dataclass(frozen=True)
class RecordedRun:
    """A run, read from its folder.

    Attributes:
        folder: of the run.
        config: as in its config.yaml.
        curves: by split (val, test) and modality; "" is the weighted total.
        figures: its metrics.json; empty if the run has not ended.
        ledger: its ledger.json; empty if there is none, as of an older version.
    """

    folder: Path
    config: Mapping[str, Any]
    curves: Mapping[str, Mapping[str, Curve]]
    figures: Mapping[str, float]
    ledger: Mapping[str, Any] = field(default_factory=dict)

    @property
    def arm(self) -> str:
        return str(self.config["experiment"])

    @property
    def seed(self) -> int:
        return int(self.config["seed"])

    @property
    def learning_rate(self) -> float:
        return float(self.config["model"]["optimizer"]["learning_rate"])

    @cached_property
    def size(self) -> str:
        backbone = self.config["model"]["backbone"]
        return f"{backbone['dim']}x{backbone['depth']}"

    @property
    def modalities(self) -> list[str]:
        return [name for name in self.curves["val"] if name]

    def tokens_per_step(self, modality: str) -> float:
        """Training tokens of a modality in a step; NaN if its metrics.json does not say."""
        return self.figures.get(f"fit/{modality}/tokens", np.nan) / self._steps

    @property
    def flops_per_step(self) -> float:
        """FLOPs of the forward and backward passes of a step, of all modalities; NaN if they are not recorded."""
        if self.ledger and "fit/steps" in self.figures:
            return float(self.ledger["flops"]["training_per_step"])
        per_token = {n: self.figures.get(f"model/{n}/forward_flops_per_token", np.nan) for n in self.modalities}
        return TRAINING_FACTOR * float(sum(self.tokens_per_step(name) * each for name, each in per_token.items()))

    @property
    def seconds_per_step(self) -> float:
        return self.figures.get("fit/training_seconds", np.nan) / self._steps

    @property
    def _steps(self) -> float:
        return self.figures.get("fit/steps") or np.nan


def read_run(folder: Path, least: int = MIN_POINTS) -> RecordedRun:
    """A run from its folder.

    Args:
        least: validations that it has; with fewer than `MIN_POINTS`, no curve can be compared.

    Raises:
        ConfigError: a folder is not that of a run with loss curves.
    """
    try:
        config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
        with (folder / "metrics.csv").open(newline="", encoding="utf-8") as file:
            curves = _curves(csv.DictReader(file))
        recorded, ledger = (_read_json(folder / name) for name in ("metrics.json", "ledger.json"))
        figures = {name: float(x) for name, x in recorded.items() if x is not None}
        run = RecordedRun(folder, config, curves, figures, ledger)
        _check_whole(run)
    except FileNotFoundError as error:
        name = Path(error.filename).name
        raise ConfigError(f"{folder} has no {name}, wanted the folder of a run, such as runs/default/0") from None
    except KeyError as error:
        raise ConfigError(f"{folder} cannot be read as a run: its config has no {error}") from None
    except (OSError, ValueError, TypeError, AttributeError, yaml.YAMLError, csv.Error) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ConfigError(f"{folder} cannot be read as a run: {reason[:200]}") from None
    points = max((len(curve.steps) for curve in run.curves.get("val", {}).values()), default=0)
    if points < least:
        raise ConfigError(
            f"{folder} has {points} validations in metrics.csv, wanted at least {least}: "
            "lower trainer.val_check_interval"
        )
    return replace(run, curves={split: of for split, of in run.curves.items() if _is_curve(of, least)})


def _read_json(path: Path) -> dict[str, Any]:
    """Empty if there is no file."""
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def _is_curve(by_modality: Mapping[str, Curve], least: int) -> bool:
    """Whether a split was evaluated while training, and not only at the end, as the test split of every run is."""
    return max(len(curve.steps) for curve in by_modality.values()) >= least


def _check_whole(run: RecordedRun) -> None:
    """Raises what `read_run` tells, if something is missing that a comparison reads."""
    config = run.config
    for needed in (run.arm, run.seed, run.learning_rate, run.size, config["trainer"].get, config["data"].get):
        assert needed is not None
    if run.ledger and "training_per_step" not in run.ledger.get("flops", {}):
        raise ValueError("its ledger.json has no FLOPs of a step")
    for name in run.modalities if "val" in run.curves else ():
        assert config["model"]["modalities"].get(name, {}).get
    if run.curves and "" not in run.curves.get("val", {}):
        raise ValueError("its metrics.csv has no val/loss")


def _curves(rows: "csv.DictReader[str]") -> dict[str, dict[str, Curve]]:
    points: dict[tuple[str, str], dict[int, float]] = defaultdict(dict)
    for row in rows:
        for name, value in row.items():
            if (match := COLUMN.fullmatch(name)) and value:
                points[match[1], match[2] or ""][int(row["step"])] = float(value)
    curves: dict[str, dict[str, Curve]] = {}
    for (stage, modality), losses in points.items():
        steps = sorted(losses)
        curves.setdefault(stage, {})[modality] = Curve(np.array(steps), np.array([losses[step] for step in steps]))
    return curves
