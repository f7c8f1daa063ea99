"""What happens beside the steps: one file each."""

from mot_lightning.callbacks.checkpoint import AtomicCheckpointIO, Checkpoints
from mot_lightning.callbacks.codec import CodecReport, Reconstructions
from mot_lightning.callbacks.experts import ExpertUtilisation
from mot_lightning.callbacks.gradient_norms import GradientNorms
from mot_lightning.callbacks.metrics import ModalityMetrics
from mot_lightning.callbacks.progress import StepProgress
from mot_lightning.callbacks.report import Report
from mot_lightning.callbacks.resume import ExactResume
from mot_lightning.callbacks.samples import SampleLogger
from mot_lightning.callbacks.stop import StopOnSignal

__all__ = [
    "AtomicCheckpointIO",
    "Checkpoints",
    "CodecReport",
    "ExactResume",
    "ExpertUtilisation",
    "GradientNorms",
    "ModalityMetrics",
    "Reconstructions",
    "Report",
    "SampleLogger",
    "StepProgress",
    "StopOnSignal",
]
