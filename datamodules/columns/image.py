"""Images from files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import PIL.Image
from torch import Tensor

from datamodules.columns.base import Column, Transform
from datamodules.sources.base import Member
from mot_lightning.errors import require
from mot_lightning.media.image_file import decode_image, from_pillow, read_image


class ImageColumn(Column):
    """Image files as tensors (c, h, w) from 0 to 1: upright, on white, and all of one shape.

    Args:
        column: its name.
        shape: channels (1 is grey, also of 16 bits as depth maps are; 3 is RGB), height and width; images are resized
            to it.
        transforms: such as `torchvision.transforms.v2.RandomHorizontalFlip`.
        weight: as in `Column`.
    """

    def __init__(
        self,
        column: str = "image",
        shape: tuple[int, int, int] = (3, 32, 32),
        transforms: Sequence[Transform] = (),
        weight: str | None = None,
    ) -> None:
        super().__init__(column, transforms, weight)
        fits = shape[0] in (1, 3) and min(shape) > 0
        require(f"the shape of column {column!r}", list(shape), "1 or 3 channels, height and width", fits)
        self.shape = shape

    @classmethod
    def codec_settings(cls, shape: Sequence[int] = (3, 32, 32), **settings: Any) -> dict[str, Any]:
        return {"shape": [*shape] if isinstance(shape, Sequence) else shape}  # its type is checked later

    def decode(self, value: Any) -> Tensor:
        if isinstance(value, Member):
            return decode_image(value.read(), value.name, self.shape, lambda conversions: None)  # (c, h, w)
        if isinstance(value, PIL.Image.Image):
            return from_pillow(value, self.shape, f"an image of column {self.column!r}", lambda conversions: None)
        if not isinstance(value, Path):
            raise ValueError(f"column {self.column!r} holds {str(value)[:40]!r}, wanted files: see data.source.files")
        return read_image(value, self.shape, lambda conversions: None)  # (c, h, w)

    def transform(self, media: Tensor) -> Tensor:
        transformed: Tensor = super().transform(media)
        if tuple(transformed.shape) != tuple(self.shape):
            seen = tuple(transformed.shape)
            raise ValueError(f"the transforms of column {self.column!r} give an image {seen}, wanted {self.shape}")
        return transformed
