"""From a trained model to new documents."""

from mot_lightning.generation.context import Context
from mot_lightning.generation.generate import GenerationSettings, generate
from mot_lightning.generation.trained import Trained

__all__ = ["Context", "GenerationSettings", "Trained", "generate"]
