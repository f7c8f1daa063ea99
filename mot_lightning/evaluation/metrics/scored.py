"""The base of metrics that are means over media: each medium has a score of its own."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric


class MeanScore(Metric):
    """The mean of what `score` gives for each medium and its target."""

    score_sum: Tensor
    total: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("score_sum", torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("total", torch.tensor(0), dist_reduce_fx="sum")

    @abstractmethod
    def score(self, medium: Any, target: Any) -> float:
        """The score of one medium."""

    def update(self, media: Sequence[Any], targets: Sequence[Any]) -> None:
        for medium, target in zip(media, targets, strict=True):
            self.score_sum += self.score(medium, target)
        self.total += len(media)

    def compute(self) -> Tensor:
        return self.score_sum / self.total
