"""Digits, handwritten, spoken and in words: a data set as a folder of sources, captions, judges and a datamodule."""

from datamodules.digits.datamodule import Digits

__all__ = ["Digits"]
