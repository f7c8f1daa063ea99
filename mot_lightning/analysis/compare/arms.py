"""Arms: runs of one architecture and size, by learning rate and seed, and the rate that is best on validation."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mot_lightning.analysis.compare.recorded import RecordedRun
from mot_lightning.config.merge import diff
from mot_lightning.errors import ConfigError

COMPUTED = ("attention", "compile", "cuda_graphs", "activation_checkpointing")  # only rounding differs


@dataclass(frozen=True)
class Arm:
    """Runs that differ in learning rate and seed alone.

    Attributes:
        name: the experiment of its runs.
        size: width and depth of its backbone, such as "32x2".
        runs: by learning rate and seed.
        grid: learning rates that were tried for it, rising; those of the runs, unless a sweep came before.
    """

    name: str
    size: str
    runs: Mapping[float, Mapping[int, RecordedRun]]
    grid: Sequence[float]

    @property
    def learning_rate(self) -> float:
        """With the lowest total validation loss at the end, in the mean over its seeds; NaN is above all others."""

        def final(rate: float) -> float:
            losses = [run.curves["val"][""].losses[-1] for run in self.runs[rate].values()]
            loss = math.fsum(losses) / len(losses)
            return math.inf if math.isnan(loss) else loss

        return min(self.runs, key=final)

    @property
    def best(self) -> Mapping[int, RecordedRun]:
        """The runs of the best learning rate, by seed."""
        return self.runs[self.learning_rate]

    @property
    def at_edge(self) -> bool:
        """Whether its best learning rate is the lowest or highest that was tried, so that a better one may be beyond.

        Of a single learning rate nothing is known.
        """
        return len(self.grid) > 1 and self.learning_rate in (min(self.grid), max(self.grid))


def arms_of(runs: Sequence[RecordedRun], grids: Mapping[tuple[str, str], Sequence[float]] | None = None) -> list[Arm]:
    """The arms, in the order of their first runs.

    Args:
        grids: learning rates of an earlier sweep, by arm and size.

    Raises:
        ConfigError: two runs of an arm have the same learning rate and seed, or another backbone.
    """
    groups: dict[tuple[str, str], dict[float, dict[int, RecordedRun]]] = defaultdict(lambda: defaultdict(dict))
    for run in runs:
        of_rate = groups[run.arm, run.size][run.learning_rate]
        if (other := of_rate.setdefault(run.seed, run)) is not run:
            raise ConfigError(
                f"{other.folder} and {run.folder} are both of {run.arm} with learning rate {run.learning_rate:g} and "
                f"seed {run.seed}, wanted one of them, or another --experiment name for each architecture"
            )
        first = next(iter(next(iter(groups[run.arm, run.size].values())).values()))
        if lines := diff(_architecture(first), _architecture(run), "model.backbone"):
            raise ConfigError(
                f"{first.folder} and {run.folder} are both of {run.arm}, but differ in {lines[0]}, wanted another "
                "--experiment name for each architecture"
            )
    return [
        Arm(name, size, of_arm, sorted({*(grids or {}).get((name, size), ()), *of_arm}))
        for (name, size), of_arm in groups.items()
    ]


def _architecture(run: RecordedRun) -> dict[str, Any]:
    """The settings of its backbone, but for how it is computed."""
    return {name: value for name, value in run.config["model"]["backbone"].items() if name not in COMPUTED}


def baseline_of(arms: Sequence[Arm], name: str | None) -> str:
    """The name of the baseline: the one that is asked for, or the only dense one, or else the first.

    Raises:
        ConfigError: there is no such arm.
    """
    names = [*dict.fromkeys(arm.name for arm in arms)]
    if name is not None and name not in names:
        raise ConfigError(f"--baseline is {name!r}, wanted one of {', '.join(names)}")
    dense = [*dict.fromkeys(arm.name for arm in arms if _is_dense(arm))]
    return name or (dense[0] if len(dense) == 1 else names[0])


def _is_dense(arm: Arm) -> bool:
    """Whether all modalities share one tower without experts."""
    backbone = next(iter(next(iter(arm.runs.values())).values())).config["model"]["backbone"]
    return len(backbone.get("towers") or {}) == 1 and not backbone.get("experts")
