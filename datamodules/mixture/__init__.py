"""Several data sets as one, in fractions that may change over time."""

from datamodules.mixture.datamodule import Mixture
from datamodules.mixture.phase import Phase

__all__ = ["Mixture", "Phase"]
