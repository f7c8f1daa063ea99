"""Data sets: one file each, all on the base in `interleaved.py`."""

from datamodules.digits import Digits

__all__ = ["Digits"]
