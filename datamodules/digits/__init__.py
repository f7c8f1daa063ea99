"""Digits, handwritten, spoken and in words: sources, captions, judges (classifiers) and the datamodule."""

from datamodules.digits.datamodule import Digits

__all__ = ["Digits"]
