"""Towers and language models of Hugging Face: a tower starts as one, and leaves as one."""

from mot_lightning.interop.language_model import LanguageModel, LanguageModels, Pretrained

__all__ = ["LanguageModel", "LanguageModels", "Pretrained"]
