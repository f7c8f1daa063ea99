"""Accuracy of generated media, by a classifier of real media."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric


class JudgedAccuracy(Metric):
    """The fraction of media whose predicted label is their target.

    Args:
        judge: a classifier: media -> the predicted label of each.
    """

    higher_is_better = True
    plot_lower_bound, plot_upper_bound = 0.0, 1.0
    correct: Tensor
    total: Tensor

    def __init__(self, judge: Callable[[Sequence[Any]], Sequence[Any]]) -> None:
        super().__init__()
        self.judge = judge
        self.add_state("correct", torch.tensor(0), dist_reduce_fx="sum")
        self.add_state("total", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, media: Sequence[Any], targets: Sequence[Any]) -> None:
        self.correct += sum(label == target for label, target in zip(self.judge(media), targets, strict=True))
        self.total += len(media)

    def compute(self) -> Tensor:
        return self.correct.double() / self.total

    @staticmethod
    def standard_error(value: float, samples: int) -> float:
        """The standard error of an accuracy over independent samples, above 0 also where all are right or wrong.

        Binomial, with two right and two wrong samples added (Agresti and Coull, The American Statistician 1998).
        """
        adjusted = (value * samples + 2) / (samples + 4)
        return math.sqrt(adjusted * (1 - adjusted) / (samples + 4))
