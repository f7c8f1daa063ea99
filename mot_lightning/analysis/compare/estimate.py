"""A quantity over several seeds: its mean and a 95 % confidence interval."""

import math
from collections.abc import Sequence
from typing import NamedTuple

CONFIDENCE = 0.95


class Estimate(NamedTuple):
    """A mean over n seeds.

    `low` and `high` are NaN for a single one, which says nothing of its error. Where the value is only a lower bound,
    `high` is infinite; where it is only an upper bound of a ratio, `low` is 0.
    """

    value: float
    low: float
    high: float
    n: int

    @property
    def sign(self) -> str:
        """What the value is: > a lower bound, < an upper bound, ? either of them in some pairs; empty if it is none."""
        return ("?" if self.low == 0 else ">") if math.isinf(self.high) else "<" if self.low == 0 else ""

    def __str__(self) -> str:
        interval = "" if math.isnan(self.low) else f" [{self.low:.2f}, {self.high:.2f}]"
        return f"{self.sign} {self.value:.2f}{interval}".strip()


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


def extremes(values: Sequence[float], n: int) -> Estimate:
    """The geometric mean with the smallest and the largest value, where the values of n seeds are not independent."""
    return Estimate(geometric_mean(values).value, min(values), max(values), n)
