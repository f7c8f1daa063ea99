"""Metrics of generated media: one `torchmetrics.Metric` a file, updated with (media, targets)."""

from mot_lightning.evaluation.metrics.accuracy import JudgedAccuracy
from mot_lightning.evaluation.metrics.audio_error import SISDR, STOI, MelCepstralDistance
from mot_lightning.evaluation.metrics.bleu import BLEU
from mot_lightning.evaluation.metrics.chrf import ChrF
from mot_lightning.evaluation.metrics.cider import CIDErD
from mot_lightning.evaluation.metrics.clip import CLIPScore
from mot_lightning.evaluation.metrics.coverage import Precision, Recall
from mot_lightning.evaluation.metrics.exact_match import ExactMatch
from mot_lightning.evaluation.metrics.frechet import FrechetDistance
from mot_lightning.evaluation.metrics.image_error import PSNR, SSIM
from mot_lightning.evaluation.metrics.kernel_distance import KernelDistance
from mot_lightning.evaluation.metrics.rouge import RougeL
from mot_lightning.evaluation.metrics.speech import UnitErrorRate, WordErrorRate

__all__ = [
    "BLEU",
    "PSNR",
    "SISDR",
    "SSIM",
    "STOI",
    "CIDErD",
    "CLIPScore",
    "ChrF",
    "ExactMatch",
    "FrechetDistance",
    "JudgedAccuracy",
    "KernelDistance",
    "MelCepstralDistance",
    "Precision",
    "Recall",
    "RougeL",
    "UnitErrorRate",
    "WordErrorRate",
]
