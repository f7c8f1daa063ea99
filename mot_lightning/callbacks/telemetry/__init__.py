"""Callbacks that look inside a model while it trains. They are off by default, as most cost passes."""

from mot_lightning.callbacks.telemetry.attention_mass import AttentionMass
from mot_lightning.callbacks.telemetry.gradient_cosines import GradientCosines
from mot_lightning.callbacks.telemetry.loss_by_time import LossByTime
from mot_lightning.callbacks.telemetry.separability import Separability
from mot_lightning.callbacks.telemetry.throughput import Throughput
from mot_lightning.callbacks.telemetry.tower_similarity import TowerSimilarity

__all__ = ["AttentionMass", "GradientCosines", "LossByTime", "Separability", "Throughput", "TowerSimilarity"]
