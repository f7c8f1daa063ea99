"""CIDEr-D of generated captions."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from mot_lightning.evaluation.metrics.references import references_of, words

ORDERS = range(1, 5)
SIGMA = 6.0  # of the penalty of another length
Gram = tuple[str, ...]
Counts = Counter[Gram]


class CIDErD(Metric):
    """Similarity of n-grams weighted by how rare they are in the references (arXiv 1411.5726, eq. 6), from 0 to 10.

    Frequencies are of the references that it is updated with, so it depends on the set of captions. Words are in lower
    case without punctuation.
    """

    higher_is_better = True
    compares_with = "references"
    min_samples = 2  # what is in the references of all captions has no weight
    plot_lower_bound, plot_upper_bound = 0.0, 10.0
    captions: list[tuple[Counts, list[Counts]]]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("captions", [], dist_reduce_fx=None)

    def update(self, media: Sequence[str], targets: Sequence[Any]) -> None:
        for text, target in zip(media, targets, strict=True):
            self.captions.append((_grams(text), [_grams(reference) for reference in references_of(target)]))

    def compute(self) -> Tensor:
        frequency = Counter[Gram]()  # captions with an n-gram in a reference
        for _, references in self.captions:
            frequency.update({gram for reference in references for gram in reference})
        rarity = {gram: math.log(len(self.captions) / count) for gram, count in frequency.items()}
        unseen = math.log(len(self.captions))
        scores = []
        for text, references in self.captions:
            vector = _weighted(text, rarity, unseen)
            each = [_similarity(text, vector, of, _weighted(of, rarity, unseen)) for of in references]
            scores.append(sum(each) / len(each))
        return torch.tensor(10 * math.fsum(scores) / len(scores), dtype=torch.float64)


def _grams(text: str) -> Counts:
    of_text = words(text)
    return Counter(tuple(of_text[i : i + n]) for n in ORDERS for i in range(len(of_text) - n + 1))


def _weighted(counts: Counts, rarity: dict[Gram, float], unseen: float) -> dict[Gram, float]:
    return {gram: count * rarity.get(gram, unseen) for gram, count in counts.items()}


def _similarity(text: Counts, vector: dict[Gram, float], reference: Counts, of_reference: dict[Gram, float]) -> float:
    """The mean over n of cosines whose weights are clipped to the reference's, times the penalty of another length."""
    total = 0.0
    for n in ORDERS:
        common = sum(
            min(x, of_reference[g]) * of_reference[g] for g, x in vector.items() if g in of_reference and len(g) == n
        )
        norms = [math.sqrt(sum(x * x for g, x in one.items() if len(g) == n)) for one in (vector, of_reference)]
        total += common / (norms[0] * norms[1]) if all(norms) else 0.0
    difference = _length(text) - _length(reference)
    return total / len(ORDERS) * math.exp(-(difference**2) / (2 * SIGMA**2))


def _length(counts: Counts) -> int:
    return sum(count for gram, count in counts.items() if len(gram) == 1)
