"""The base of metrics that compare generated with real images in the features of any extractor."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import Metric


class FeatureMetric(Metric):
    """Keeps the features of generated images.

    Args:
        extractor: uint8 images (n, 3, h, w) -> features (n, num_features).
        reference: real images, each (c, h, w) in [0, 1].
    """

    features: list[Tensor]

    def __init__(self, extractor: nn.Module, reference: Sequence[Tensor]) -> None:
        super().__init__()
        self.extractor, self.reference = extractor, reference
        self.add_state("features", [], dist_reduce_fx="cat")

    def update(self, media: Sequence[Tensor], targets: Sequence[Any]) -> None:
        self.features.append(self._extract(media))

    @cached_property
    def real(self) -> Tensor:
        """The features of the real images, (m, num_features), in float64."""
        return self._extract(self.reference)

    @property
    def generated(self) -> Tensor:
        """The features of the generated images, (n, num_features), in float64."""
        return torch.cat(list(self.features))

    def _extract(self, images: Sequence[Tensor]) -> Tensor:
        with torch.no_grad():
            return self.extractor(stacked(images)).double()


def stacked(images: Sequence[Tensor]) -> Tensor:
    """Images (c, h, w) in [0, 1] -> uint8 (n, 3, h, w)."""
    return as_bytes(torch.stack(list(images))).expand(-1, 3, -1, -1)


def as_bytes(images: Tensor) -> Tensor:
    """Images in [0, 1] -> uint8, rounded."""
    return (images * 255).round().byte()
