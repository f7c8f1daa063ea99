"""Callbacks: logging, samples, checkpoints and reports beside the training steps, one file each."""

from mot_lightning.callbacks.checkpoint import Checkpoints
from mot_lightning.callbacks.experts import ExpertUtilisation
from mot_lightning.callbacks.gradient_norms import GradientNorms
from mot_lightning.callbacks.progress import StepProgress
from mot_lightning.callbacks.reconstructions import CodecReport, Reconstructions
from mot_lightning.callbacks.report import Report
from mot_lightning.callbacks.resume import ExactResume
from mot_lightning.callbacks.samples import SampleLogger
from mot_lightning.callbacks.stop_on_signal import StopOnSignal
from mot_lightning.callbacks.task_metrics import TaskMetrics
from mot_lightning.callbacks.telemetry import (
    AttentionMass,
    GradientCosines,
    LossByTime,
    Separability,
    Throughput,
    TowerSimilarity,
)
from mot_lightning.callbacks.test_curve import TestCurve

__all__ = [
    "AttentionMass",
    "Checkpoints",
    "CodecReport",
    "ExactResume",
    "ExpertUtilisation",
    "GradientCosines",
    "GradientNorms",
    "LossByTime",
    "Reconstructions",
    "Report",
    "SampleLogger",
    "Separability",
    "StepProgress",
    "StopOnSignal",
    "TaskMetrics",
    "TestCurve",
    "Throughput",
    "TowerSimilarity",
]
