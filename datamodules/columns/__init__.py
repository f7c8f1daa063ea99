"""How values of a record become media of a modality, one file for each media type."""

from datamodules.columns.array import ArrayColumn
from datamodules.columns.audio import AudioColumn
from datamodules.columns.base import Column
from datamodules.columns.image import ImageColumn
from datamodules.columns.text import TextColumn

__all__ = ["ArrayColumn", "AudioColumn", "Column", "ImageColumn", "TextColumn"]
