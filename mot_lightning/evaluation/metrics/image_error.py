"""PSNR and SSIM of images beside the originals."""

from typing import Any

from torch import Tensor
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from mot_lightning.evaluation.metrics.scored import MeanScore

WINDOW = 11  # pixels


class PSNR(MeanScore):
    """Mean peak signal-to-noise ratio of images (c, h, w) in [0, 1], in dB; infinite if one is the same."""

    higher_is_better = True
    compares_with = "references"

    def score(self, medium: Tensor, target: Tensor) -> float:
        return float(peak_signal_noise_ratio(medium, target, data_range=1.0))


class SSIM(MeanScore):
    """Mean structural similarity (Wang et al., IEEE TIP 2004) of images (c, h, w) in [0, 1]: 1 if they are the same.

    Raises:
        ValueError: images are smaller than its window of 11 pixels.
    """

    higher_is_better = True
    compares_with = "references"
    plot_upper_bound = 1.0

    def score(self, medium: Tensor, target: Tensor) -> float:
        if min(medium.shape[1:]) < WINDOW:
            raise ValueError(
                f"images are {medium.shape[1]} x {medium.shape[2]}, wanted at least {WINDOW} pixels a side"
            )
        similarity: Any = structural_similarity_index_measure(medium[None], target[None], data_range=1.0)
        return float(similarity)
