"""Data sets on the base in `interleaved.py`: `Records` reads any corpus as a config says, others are a folder each."""

from datamodules.digits import Digits
from datamodules.records import Records

__all__ = ["Digits", "Records"]
