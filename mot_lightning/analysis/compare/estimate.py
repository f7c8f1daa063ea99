"""A quantity over several seeds: its mean and a 95 % confidence interval."""

import math
from collections.abc import Sequence
from typing import NamedTuple

CONFIDENCE = 0.95


class Estimate(NamedTuple):
    """A mean over n seeds.

    `low` and `high` are NaN for a single one, which says nothing of its error. `high` is infinite where the value is
    only a lower bound.
    """

    value: float
    low: float
    high: float
    n: int

    @property
    def is_bound(self) -> bool:
        return math.isinf(self.high)

    def __str__(self) -> str:
        if self.is_bound:
            return f"> {self.value:.2f}"
        return f"{self.value:.2f}" + ("" if math.isnan(self.low) else f" [{self.low:.2f}, {self.high:.2f}]")


def mean(values: Sequence[float]) -> Estimate:
    """The mean, with Student's t interval, as few seeds say little of their variance."""
    from scipy.stats import t

    n = len(values)
    average = math.fsum(values) / n
    if n == 1:
        return Estimate(average, math.nan, math.nan, n)
    variance = math.fsum((value - average) ** 2 for value in values) / (n - 1)
    half = float(t.ppf((1 + CONFIDENCE) / 2, n - 1)) * math.sqrt(variance / n)
    return Estimate(average, average - half, average + half, n)


def geometric_mean(values: Sequence[float]) -> Estimate:
    """The geometric mean of ratios, with the interval of their logarithms: 2 and 1/2 are equally far from 1."""
    logs = mean([math.log(value) for value in values])
    return Estimate(math.exp(logs.value), math.exp(logs.low), math.exp(logs.high), logs.n)


def extremes(values: Sequence[float]) -> Estimate:
    """The geometric mean with the smallest and the largest value, where the values are not independent."""
    return Estimate(geometric_mean(values).value, min(values), max(values), len(values))
