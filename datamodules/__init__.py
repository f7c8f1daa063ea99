"""Data sets, one folder or file each, all built on the base in `interleaved.py`."""

from datamodules.digits import Digits

__all__ = ["Digits"]
