"""Media types (text, images, audio, arrays): their files, previews and pages.

A type is imported when it is first used, so that pages and tables need no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mot_lightning.media.array import Array
    from mot_lightning.media.audio import Audio
    from mot_lightning.media.base import MediaType
    from mot_lightning.media.image import Image
    from mot_lightning.media.text import Text

_HOMES = {"Array": "array", "Audio": "audio", "Image": "image", "MediaType": "base", "Text": "text"}

__all__ = ["Array", "Audio", "Image", "MediaType", "Text"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
