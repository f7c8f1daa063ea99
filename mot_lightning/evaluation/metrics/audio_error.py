"""SI-SDR, mel-cepstral distance and STOI of waveforms beside the originals, each compared as far as both go."""

import math

from torch import Tensor
from torchmetrics.functional.audio import scale_invariant_signal_distortion_ratio

from mot_lightning.evaluation.metrics.scored import MeanScore

CEPSTRA, MELS = 13, 40  # cepstra without the first, which is loudness


class SISDR(MeanScore):
    """Mean scale-invariant signal-to-distortion ratio in dB (arXiv 1811.02508, eq. 3)."""

    higher_is_better = True
    compares_with = "references"

    def score(self, medium: Tensor, target: Tensor) -> float:
        n = min(len(medium), len(target))
        return float(scale_invariant_signal_distortion_ratio(medium[:n], target[:n]))


class MelCepstralDistance(MeanScore):
    """Mean distance of mel cepstra 1 to 13 in dB (Kubichek, IEEE PacRim 1993), frame by frame: waveforms in step.

    It is the root mean square difference of the two spectra in dB, smoothed over mel frequency, apart from loudness.

    Args:
        sample_rate: of both, in Hz.
    """

    higher_is_better = False
    compares_with = "references"
    plot_lower_bound = 0.0

    def __init__(self, sample_rate: int) -> None:
        from torchaudio.transforms import MFCC

        super().__init__()
        window = {"n_fft": 512, "hop_length": sample_rate // 100, "n_mels": MELS, "center": True}
        self.cepstra = MFCC(sample_rate, CEPSTRA + 1, log_mels=True, melkwargs=window)

    def score(self, medium: Tensor, target: Tensor) -> float:
        n = min(len(medium), len(target))
        difference = self.cepstra(medium[:n]) - self.cepstra(target[:n])  # (cepstra, frames)
        distance = (2 * difference[1:].square().sum(0)).sqrt().mean()
        # an orthonormal DCT of log power is sqrt(2 mels) times the cosine series of log amplitude
        return 10 / math.log(10) * float(distance) / math.sqrt(2 * MELS)


class STOI(MeanScore):
    """Mean short-time objective intelligibility (Taal et al., IEEE TASLP 2011), by the package pystoi.

    Args:
        sample_rate: of both, in Hz.
    """

    higher_is_better = True
    compares_with = "references"

    def __init__(self, sample_rate: int) -> None:
        super().__init__()
        self.sample_rate = sample_rate

    def score(self, medium: Tensor, target: Tensor) -> float:
        from pystoi import stoi

        n = min(len(medium), len(target))
        return float(stoi(target[:n].numpy(), medium[:n].numpy(), self.sample_rate))
