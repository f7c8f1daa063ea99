"""From a trained model to new documents."""

from mot_lightning.generation.context import Context
from mot_lightning.generation.generate import GenerationSettings, generate

__all__ = ["Context", "GenerationSettings", "generate"]
