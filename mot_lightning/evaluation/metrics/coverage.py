"""Precision and recall of generated images, in the features of any extractor.

As arXiv 1904.06991 (section 2): a set covers the balls around its members, each as wide as the distance to the third
nearest other member.
"""

import torch
from torch import Tensor

from mot_lightning.evaluation.metrics.features import FeatureMetric

NEIGHBOUR = 3
ROWS = 1000  # of distances in memory at a time


class Precision(FeatureMetric):
    """The fraction of generated images that the real ones cover: low if images are not realistic."""

    higher_is_better = True
    min_samples = NEIGHBOUR + 1
    plot_lower_bound, plot_upper_bound = 0.0, 1.0

    def compute(self) -> Tensor:
        return _covered(self.generated, by=self.real)


class Recall(FeatureMetric):
    """The fraction of real images that the generated ones cover: low if images lack variety.

    It rises with the number of generated images, so compare it only at the same number.
    """

    higher_is_better = True
    min_samples = NEIGHBOUR + 1
    resampled = False  # a set with members drawn twice has smaller balls
    plot_lower_bound, plot_upper_bound = 0.0, 1.0

    def compute(self) -> Tensor:
        return _covered(self.real, by=self.generated)


def _covered(points: Tensor, by: Tensor) -> Tensor:
    """The fraction of points that lie in a ball of another set."""
    radius = torch.cat([torch.cdist(rows, by).kthvalue(NEIGHBOUR + 1).values for rows in by.split(ROWS)])  # (m,)
    inside = [(torch.cdist(rows, by) <= radius).any(1) for rows in points.split(ROWS)]
    return torch.cat(inside).double().mean()
