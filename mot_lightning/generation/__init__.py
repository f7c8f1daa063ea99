"""Generation: from a trained model and prompts to new documents."""

from mot_lightning.generation.context import Context
from mot_lightning.generation.generate import generate
from mot_lightning.generation.limits import GenerationLimits
from mot_lightning.generation.settings import GenerationSettings

__all__ = ["Context", "GenerationLimits", "GenerationSettings", "generate"]
