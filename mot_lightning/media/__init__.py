"""Media types (text, images, audio): their files, previews and pages."""

from mot_lightning.media.audio import Audio
from mot_lightning.media.base import MediaType
from mot_lightning.media.image import Image
from mot_lightning.media.text import Text

__all__ = ["Audio", "Image", "MediaType", "Text"]
