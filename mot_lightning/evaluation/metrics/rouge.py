"""ROUGE-L of generated texts."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from mot_lightning.evaluation.metrics.references import references_of, words


class RougeL(Metric):
    """The mean F score of the longest common subsequence of words (Lin, 2004, section 3.1, beta 1), from 0 to 1.

    Of several references, the closest counts.
    """

    higher_is_better = True
    compares_with = "references"
    plot_lower_bound, plot_upper_bound = 0.0, 1.0
    score: Tensor
    total: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("score", torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("total", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, media: Sequence[str], targets: Sequence[Any]) -> None:
        for text, target in zip(media, targets, strict=True):
            self.score += max(_f_score(words(text), words(reference)) for reference in references_of(target))
        self.total += len(media)

    def compute(self) -> Tensor:
        return self.score / self.total


def _f_score(text: Sequence[str], reference: Sequence[str]) -> float:
    """2 l / (m + n) for a common subsequence of length l; 0 without words."""
    return 2 * _common(text, reference) / max(1, len(text) + len(reference))


def _common(a: Sequence[str], b: Sequence[str]) -> int:
    """The length of the longest common subsequence, by rows of the usual table."""
    row = [0] * (len(b) + 1)
    for word in a:
        above = row
        row = [0]
        for j, other in enumerate(b):
            row.append(above[j] + 1 if word == other else max(above[j + 1], row[j]))
    return row[-1]
