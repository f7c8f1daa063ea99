"""Bootstrap intervals: how far a value moves if samples are drawn again from those that there are.

The percentile interval of Efron and Tibshirani (An Introduction to the Bootstrap, 1993, chapter 13), over documents:
the tokens of one document are not independent.
"""

import math
from collections.abc import Callable

import numpy as np

RESAMPLES = 1000
TAIL = 2.5  # per cent, on either side
MAX_DRAWS = 2**22  # counts in memory at a time
Statistic = Callable[[np.ndarray], float]  # sums (q,) -> a value; NaN where they have none


def resampled(sums: np.ndarray, seed: int, resamples: int = RESAMPLES) -> np.ndarray:
    """Sums over n samples drawn with replacement from n: (n, q) -> (resamples, q); the same for the same seed and n."""
    n = len(sums)
    rng = np.random.default_rng(seed)
    size = max(1, MAX_DRAWS // n)
    parts = [min(size, resamples - start) for start in range(0, resamples, size)]
    return np.concatenate([rng.multinomial(n, np.full(n, 1 / n), part) @ sums for part in parts])


def interval(sums: np.ndarray, statistic: Statistic, seed: int, resamples: int = RESAMPLES) -> tuple[float, float]:
    """The 95 % interval of a statistic of summed samples.

    Args:
        sums: (n, q), of each sample.

    Returns:
        Its ends; NaN if there are fewer than two samples, or the statistic has no value for most draws.
    """
    if len(sums) < 2:
        return math.nan, math.nan
    values = np.array([statistic(one) for one in resampled(sums, seed, resamples)])
    values = values[np.isfinite(values)]
    if len(values) < resamples / 2:
        return math.nan, math.nan
    low, high = np.percentile(values, [TAIL, 100 - TAIL])
    return float(low), float(high)


def ratio(sums: np.ndarray) -> float:
    """The first sum over the second; NaN without any."""
    return float(sums[0] / sums[1]) if sums[1] else math.nan
