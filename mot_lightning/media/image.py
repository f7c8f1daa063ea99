"""Images of one shape, and boards of them; how files are decoded and converted is left to `image_file.py`."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import PIL.Image
import torch
from torch import Tensor
from torchvision.transforms.v2.functional import to_pil_image

from mot_lightning.errors import say
from mot_lightning.media.arrays import as_array, check_range
from mot_lightning.media.base import MediaType
from mot_lightning.media.board import TENSORBOARD_COLUMNS, board
from mot_lightning.media.image_file import from_pillow, read_image

# from other usual ranges to 0 to 1; values that are only a little outside it may have overshot
RESCALED: dict[str, Callable[[float, float], bool]] = {
    "(x + 1) / 2": lambda least, most: -1 <= least < -0.5 and most <= 1,
    "x / 255": lambda least, most: least >= 0 and 2 < most <= 255,
}


class Image(MediaType):
    """Images (c, h, w) in [0, 1], all of one shape.

    Args:
        shape: channels (1 for grey, 3 for RGB), height and width.

    Raises:
        ValueError: images are neither grey nor RGB.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")
    types: ClassVar[tuple[type, ...]] = (PIL.Image.Image,)

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self.shape: tuple[int, int, int] = (shape[0], shape[1], shape[2])
        if self.shape[0] not in (1, 3):
            raise ValueError(f"shape has {self.shape[0]} channels, wanted 1 (grey) or 3 (RGB)")

    def check(self, media: Any) -> None:
        if not isinstance(media, Tensor):
            raise ValueError(f"image is of type {type(media).__name__}, wanted a tensor {self.shape}")
        if tuple(media.shape) != self.shape:
            raise ValueError(f"image is {tuple(media.shape)}, wanted {self.shape}")
        if not media.isfinite().all():
            raise ValueError("image has pixels that are NaN or infinite, wanted 0 to 1")

    def read(self, path: Path) -> Tensor:
        """An image file, converted to `shape`: upright, on white, resized; prints one line that says what was done."""
        return read_image(path, self.shape, say)

    def coerce(self, media: Any) -> Tensor:
        """An image in memory, converted to `shape` as a file is; prints one line that says what was done.

        Args:
            media: an image of Pillow, or an array or tensor (h, w), (h, w, c) or (c, h, w): uint8, or floats from 0 to
                1, which keep their precision if they have the shape already. Where both orders are possible, an
                array is (h, w, c) and a tensor (c, h, w).

        Raises:
            ValueError: it is none of these, or has other values.
        """
        if isinstance(media, PIL.Image.Image):
            return from_pillow(media, self.shape, "image", say)
        if not isinstance(media, np.ndarray | Tensor):
            raise ValueError(f"image is of type {type(media).__name__}, wanted a PIL image, an array or a tensor")
        array = as_array(media)
        if not array.size or array.ndim not in (2, 3) or (array.ndim == 3 and not {*array.shape[::2]} & {1, 3, 4}):
            raise ValueError(f"image is {array.shape}, wanted (h, w), (h, w, c) or (c, h, w) of 1, 3 or 4 channels")
        if array.dtype == np.float32:
            check_range("image", array, 0, 1, RESCALED)
            if array.shape == self.shape:
                return torch.from_numpy(array.copy())
            array = (array * 255).round().astype(np.uint8)
        elif array.dtype != np.uint8:
            raise ValueError(f"image is of dtype {array.dtype}, wanted uint8, or floats from 0 to 1")
        if array.ndim == 3:
            last = array.shape[2] in (1, 3, 4)
            if array.shape[0] in (1, 3, 4) and (not last or array.shape == self.shape or isinstance(media, Tensor)):
                array = array.transpose(1, 2, 0)
            array = array[..., 0] if array.shape[2] == 1 else array
        return from_pillow(PIL.Image.fromarray(np.ascontiguousarray(array)), self.shape, "image", say)

    def write(self, media: Tensor, stem: Path) -> Path:
        """Write a PNG, enlarged by an integer factor to at least 128 pixels a side, as small images are hard to see."""
        path = stem.with_name(f"{stem.name}{self.suffixes[0]}")
        image = _pil(media)
        scale = max(1, -(-128 // min(image.size)))
        image.resize((image.size[0] * scale, image.size[1] * scale), PIL.Image.Resampling.NEAREST).save(path)
        return path

    def write_many(self, media: Sequence[Tensor], captions: Sequence[str], stem: Path) -> list[Path]:
        """Write one PNG: a board of all images, each under its caption."""
        path = stem.with_name(f"{stem.name}{self.suffixes[0]}")
        board(captions, [[("", self.picture(image))] for image in media]).savefig(path)
        return [path]

    def log(self, writer: Any, tag: str, media: Sequence[Tensor], captions: Sequence[str], step: int) -> None:
        cells = [[("", self.picture(image))] for image in media]
        writer.add_figure(tag, board(captions, cells, TENSORBOARD_COLUMNS), step)

    def picture(self, media: Tensor) -> PIL.Image.Image:
        return _pil(media)


def _pil(image: Tensor) -> PIL.Image.Image:
    return to_pil_image((image * 255).round().byte())
