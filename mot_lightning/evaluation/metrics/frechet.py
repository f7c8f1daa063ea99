"""Frechet distance between generated and real images, in the features of any extractor."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance

from mot_lightning.evaluation.metrics.features import stacked


class FrechetDistance(FrechetInceptionDistance):
    """FID (arXiv 1706.08500, eq. 6) with any extractor, to be named after it: "fid[digits]" is not Inception's FID.

    Args:
        extractor: uint8 images (n, 3, h, w) -> features (n, num_features).
        reference: real images, each (c, h, w) in [0, 1].
    """

    min_samples = 2  # a covariance needs two
    comparable_samples = 10_000  # below, its bias depends on their number
    fixed_states = "real_"  # are not of the generated media

    def __init__(self, extractor: nn.Module, reference: Sequence[Tensor]) -> None:
        super().__init__(feature=extractor, reset_real_features=False)
        self.reference = reference

    def update(self, media: Sequence[Tensor], targets: Sequence[Any]) -> None:  # type: ignore[override]
        if not self.real_features_num_samples:
            super().update(stacked(self.reference), real=True)
        super().update(stacked(media), real=False)
