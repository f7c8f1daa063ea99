"""Media types (text, images, audio, arrays): their files, previews and pages."""

from mot_lightning.media.array import Array
from mot_lightning.media.audio import Audio
from mot_lightning.media.base import MediaType
from mot_lightning.media.image import Image
from mot_lightning.media.text import Text

__all__ = ["Array", "Audio", "Image", "MediaType", "Text"]
