"""Loss curves, and step matching: at which step one run has the loss of another (MoT, arXiv 2411.04996)."""

from dataclasses import dataclass

import numpy as np

FEW = 0.2  # of the losses that are matched
TOLERANCE = 0.1  # of s: a bound is what would move by more


@dataclass(frozen=True)
class Curve:
    """The loss of one modality over training.

    Attributes:
        steps: (n,), rising.
        losses: (n,).
    """

    steps: np.ndarray
    losses: np.ndarray

    def smoothed(self, window: int) -> "Curve":
        """The centred moving mean over `window` points, an odd number; nearer to an end, over as many as fit."""
        half = np.minimum(window // 2, np.minimum(np.arange(len(self.steps)), np.arange(len(self.steps))[::-1]))
        sums = np.concatenate([[0.0], np.cumsum(self.losses)])
        i = np.arange(len(self.steps))
        return Curve(self.steps, (sums[i + half + 1] - sums[i - half]) / (2 * half + 1))

    def step_at(self, loss: float) -> float:
        """The first step at or below a loss, where the curve is linear between its points; NaN if it never is."""
        below = np.flatnonzero(self.losses <= loss)
        if not len(below):
            return float("nan")
        if (i := below[0]) == 0:
            return float(self.steps[0])
        fraction = (self.losses[i - 1] - loss) / (self.losses[i - 1] - self.losses[i])
        return float(self.steps[i - 1] + fraction * (self.steps[i] - self.steps[i - 1]))

    def rises_by(self) -> float:
        """How far its last loss is above its lowest, as a fraction of the lowest."""
        lowest = self.losses.min()
        return float((self.losses[-1] - lowest) / abs(lowest)) if lowest else 0.0


@dataclass(frozen=True)
class Matching:
    """For steps of a baseline, the steps after which another run has the same loss.

    Attributes:
        baseline: (n,) steps in the range of the fit.
        other: (n,) matched steps; NaN where the other run never has so low a loss.
        at_once: (n,) whether the other run has the loss at its first evaluation, and the baseline only later.
        last: step of the other run's last evaluation.
    """

    baseline: np.ndarray
    other: np.ndarray
    at_once: np.ndarray
    last: float

    @property
    def reached(self) -> float:
        """The fraction of the baseline's steps whose loss the other run reaches."""
        return float(np.isfinite(self.other).mean())

    @property
    def slope(self) -> float:
        """Slope s of the line through the origin, by least squares. Below 1, the other run needs fewer steps.

        Losses that the other run never has are left out; where s is a lower bound, they count as reached at its end.
        """
        others = np.where(np.isnan(self.other), self.last, self.other)
        return _slope(self.baseline, others) if self.is_lower_bound else self._reached_slope

    @property
    def _reached_slope(self) -> float:
        return _slope(*(steps[np.isfinite(self.other)] for steps in (self.baseline, self.other)))

    @property
    def is_lower_bound(self) -> bool:
        """Whether the losses that the other run lacks would raise s, however soon after its end it had them.

        Losses that the line through the others expects after its end would not.
        """
        if not self.reached:
            return True
        soonest = np.maximum(self.last, self._reached_slope * self.baseline)
        least = _slope(self.baseline, np.where(np.isnan(self.other), soonest, self.other))
        return least > (1 + TOLERANCE) * self._reached_slope

    @property
    def is_upper_bound(self) -> bool:
        """Whether the other run has more than a few losses at once, and may have had them long before."""
        return bool(self.at_once.mean() > FEW)


def match(baseline: Curve, other: Curve, start: float) -> Matching:
    """Match steps of two runs.

    Args:
        start: where the fit begins, as a fraction of the baseline's last step.
    """
    fitted = baseline.steps >= start * baseline.steps[-1]
    steps, losses = baseline.steps[fitted].astype(float), baseline.losses[fitted]
    matched = np.array([other.step_at(loss) for loss in losses])
    at_once = (losses >= other.losses[0]) & (losses < baseline.losses[0])
    return Matching(steps, matched, at_once, float(other.steps[-1]))


def _slope(x: np.ndarray, y: np.ndarray) -> float:
    """Of the line through the origin, by least squares."""
    return float(x @ y / (x @ x))
