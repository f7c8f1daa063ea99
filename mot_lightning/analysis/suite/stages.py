"""What a suite has to run next: a pure function of what it has run, so that it goes on after any stop."""

from collections.abc import Collection, Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

from mot_lightning.analysis.suite.planned import PlannedRun
from mot_lightning.analysis.suite.settings import Suite

Rates = dict[tuple[str, str], list[float]]  # by arm and size


class Stage(NamedTuple):
    """The runs of a stage; the last stage has run once none is left.

    Attributes:
        rates: learning rates of each arm and size that are being tried; of the last stage those that finished, the best
            first.
        tried: those that were, or are being, tried, rising.
    """

    title: str
    runs: Sequence[PlannedRun]
    rates: Rates
    tried: Rates

    def left(self, failed: Collection[str] = ()) -> list[PlannedRun]:
        """The runs that are neither finished nor failed."""
        return [run for run in self.runs if not run.finished and run.name not in failed]


def current(suite: Suite, out: Path, failed: Collection[str] = ()) -> Stage:
    """The stage that has runs left, or the last one.

    Args:
        out: folder of the suite.
        failed: names of runs that are not tried again.
    """
    rates = {pair: sorted(map(float, suite.learning_rates)) for pair in product(suite.arms, suite.sizes)}
    for number in range(suite.widened + 1):
        runs = sweep(suite, out, rates)
        stage = Stage("Sweep" if not number else f"Sweep, widened {number}x", runs, rates, rates)
        if stage.left(failed):
            return stage
        ranked = {pair: _ranked([run for run in runs if (run.arm, run.size) == pair]) for pair in rates}
        wider = {pair: widen(tried, ranked[pair][0]) if ranked[pair] else tried for pair, tried in rates.items()}
        if wider == rates:
            break
        if number < suite.widened:
            rates = wider
    return Stage("Runs", finals(suite, out, ranked), ranked, rates)


def sweep(suite: Suite, out: Path, rates: Rates) -> list[PlannedRun]:
    """The short runs that learning rates are chosen by."""
    return [
        PlannedRun(suite, out / "sweep", arm, rate, suite.sweep_seed, suite.sweep_steps, size)
        for (arm, size), tried in rates.items()
        for rate in tried
    ]


def finals(suite: Suite, out: Path, ranked: Rates) -> list[PlannedRun]:
    """The runs that are compared: each arm at its best learning rate, and the baseline at its second best, too."""
    return [
        PlannedRun(suite, out / "runs", arm, rate, seed, size=size)
        for seed in suite.seeds
        for (arm, size), tried in ranked.items()
        for rate in tried[: 2 if arm == suite.baseline else 1]
    ]


def widen(rates: Sequence[float], best: float) -> list[float]:
    """Learning rates with one more beyond the edge that is best, at the ratio of its neighbours; else as they are."""
    ordered = sorted(rates)
    if best == ordered[-1]:
        return [*ordered, float(f"{best * best / ordered[-2]:.6g}")]
    if best == ordered[0]:
        return [float(f"{best * best / ordered[1]:.6g}"), *ordered]
    return ordered


def _ranked(runs: Sequence[PlannedRun]) -> list[float]:
    """The learning rates of the runs that finished, the best first."""
    losses = {run.learning_rate: run.validation_loss for run in runs if run.finished}
    return sorted(losses, key=lambda rate: losses[rate])
