"""chrF of generated texts."""

from collections.abc import Sequence
from typing import Any

from torchmetrics.text import CHRFScore

from mot_lightning.evaluation.metrics.references import references_of


class ChrF(CHRFScore):
    """F score of n-grams of up to six characters (chrF2, Popovic, WMT 2015), from 0 to 1.

    Args:
        n_word_order: n-grams of words that count as well; 2 is chrF++.
        settings: as in torchmetrics.
    """

    compares_with = "references"
    plot_lower_bound, plot_upper_bound = 0.0, 1.0

    def __init__(self, n_word_order: int = 0, **settings: Any) -> None:
        super().__init__(n_word_order=n_word_order, **settings)

    def update(self, media: Sequence[str], targets: Sequence[Any]) -> None:
        super().update(list(media), [references_of(target) for target in targets])
