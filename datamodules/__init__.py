"""Data sets on the base in `interleaved.py`: `Records` reads any corpus as a config says, `Mixture` mixes several."""

from datamodules.digits import Digits
from datamodules.mixture import Mixture
from datamodules.records import Records

__all__ = ["Digits", "Mixture", "Records"]
