"""Metrics of generated media: one `torchmetrics.Metric` a file, updated with (media, targets)."""

from mot_lightning.evaluation.metrics.accuracy import JudgedAccuracy
from mot_lightning.evaluation.metrics.frechet import FrechetDistance

__all__ = ["FrechetDistance", "JudgedAccuracy"]
