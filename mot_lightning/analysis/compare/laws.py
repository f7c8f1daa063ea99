"""Scaling laws: how the lowest loss that an arm reaches, at any size, falls with training FLOPs."""

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mot_lightning.analysis.compare.comparison import Comparison
from mot_lightning.analysis.compare.estimate import Estimate, mean
from mot_lightning.analysis.compare.recorded import RecordedRun

MIN_SIZES = 3


class Law(NamedTuple):
    """Loss = coefficient * FLOPs ** -exponent, on the frontier over sizes.

    Attributes:
        decades: of FLOPs that the frontier spans.
    """

    arm: str
    modality: str
    exponent: Estimate
    coefficient: float
    decades: float
    sizes: int


def laws(comparison: Comparison) -> list[Law]:
    """The law of each arm with three sizes or more, and known FLOPs, in each modality; fitted for each seed."""
    fitted: list[Law] = []
    for name in dict.fromkeys(arm.name for arm in comparison.arms):
        complete = runs_over_sizes(comparison, name)
        if complete and all(math.isfinite(run.flops_per_step) for runs in complete for run in runs):
            fitted += [_law(comparison, name, complete, modality) for modality in comparison.modalities]
    return fitted


def runs_over_sizes(comparison: Comparison, name: str) -> list[list[RecordedRun]]:
    """The best runs of an arm at all its sizes, for each seed that has three sizes or more."""
    by_seed: dict[int, list[RecordedRun]] = defaultdict(list)
    for arm in comparison.arms:
        if arm.name == name:
            for seed, run in arm.best.items():
                by_seed[seed].append(run)
    return [runs for runs in by_seed.values() if len({run.size for run in runs}) >= MIN_SIZES]


def _law(comparison: Comparison, name: str, by_seed: Sequence[Sequence[RecordedRun]], modality: str) -> Law:
    fits, frontiers = [], []
    for runs in by_seed:
        flops, losses = frontier(comparison, runs, modality)
        slope, intercept = np.polyfit(np.log(flops), np.log(losses), 1)
        fits.append((-float(slope), math.exp(intercept)))
        frontiers.append(flops)
    flops = np.concatenate(frontiers)
    return Law(
        name,
        modality,
        mean([exponent for exponent, _ in fits]),
        math.exp(mean([math.log(coefficient) for _, coefficient in fits]).value),
        math.log10(flops.max() / flops.min()),
        len({run.size for run in by_seed[0]}),
    )


def frontier(comparison: Comparison, runs: Sequence[RecordedRun], modality: str) -> tuple[np.ndarray, np.ndarray]:
    """FLOPs and losses, (n,) each, of the lower convex hull of the evaluations of all sizes, of logarithms.

    Of the cheapest run on it only the last point counts, and of the most expensive the first: elsewhere, no other size
    competes with them.
    """
    points: list[tuple[float, float, int]] = []
    for i, run in enumerate(runs):
        curve = comparison.curve(run, modality)
        flops, losses = np.log(curve.steps * run.flops_per_step), np.log(curve.losses)
        points += [(x, y, i) for x, y in zip(flops.tolist(), losses.tolist(), strict=True)]
    hull: list[tuple[float, float, int]] = []
    for point in sorted(points):
        while len(hull) > 1 and _above(hull[-2], hull[-1], point):
            hull.pop()
        hull.append(point)
    hull = hull[: min(range(len(hull)), key=lambda i: hull[i][1]) + 1]  # beyond, more FLOPs gained nothing
    first, last = hull[0][2], hull[-1][2]
    start = max(i for i, point in enumerate(hull) if point[2] == first)
    end = min(i for i, point in enumerate(hull) if point[2] == last)
    chosen = hull[start : end + 1] if start < end else [hull[0], hull[-1]]
    return np.exp([x for x, _, _ in chosen]), np.exp([y for _, y, _ in chosen])


def _above(a: tuple[float, ...], b: tuple[float, ...], c: tuple[float, ...]) -> bool:
    """Whether b lies on or above the line from a to c."""
    return (b[1] - a[1]) * (c[0] - a[0]) >= (c[1] - a[1]) * (b[0] - a[0])
