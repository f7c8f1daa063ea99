"""Raw media <-> tokens: one file per representation."""

from mot_lightning.codecs.base import Codec
from mot_lightning.codecs.image import Patches
from mot_lightning.codecs.text import Bytes
from mot_lightning.codecs.units import LogMelUnits

__all__ = ["Bytes", "Codec", "LogMelUnits", "Patches"]
