"""Regions of an image, and the windows inside each: no window sees a pixel of another region, at any scale."""

from collections.abc import Iterator, Sequence
from itertools import product
from typing import NamedTuple

import PIL.Image
from PIL.Image import Resampling


class Region(NamedTuple):
    """A block of an image at one scale.

    Attributes:
        name: of the block, the same at every scale.
        rows, columns: numbers of windows.
    """

    image: PIL.Image.Image
    name: str
    rows: int
    columns: int

    def window(self, number: int, size: tuple[int, int], stride: int) -> PIL.Image.Image:
        row, column = divmod(number, self.columns)
        top, left, (height, width) = row * stride, column * stride, size
        return self.image.crop((left, top, left + width, top + height))


def regions(
    image: PIL.Image.Image, side: int, scales: Sequence[float], size: tuple[int, int], stride: int
) -> Iterator[Region]:
    """The blocks of an image that hold a window, scale by scale.

    Args:
        side: of a block in pixels of the image, at least, where the image is as large.
        size: height and width of a window.
        stride: pixels from a window to the next.
    """
    across, down = max(1, image.width // side), max(1, image.height // side)
    for scale, i, j in product(scales, range(down), range(across)):
        left, right = (image.width * k // across for k in (j, j + 1))
        top, bottom = (image.height * k // down for k in (i, i + 1))
        block = image.crop((left, top, right, bottom))  # before it is resized, which mixes neighbours
        height, width = round(block.height * scale), round(block.width * scale)
        if height >= size[0] and width >= size[1]:
            resized = block if scale == 1 else block.resize((width, height), Resampling.BICUBIC)
            rows, columns = 1 + (height - size[0]) // stride, 1 + (width - size[1]) // stride
            yield Region(resized, f"{i},{j}", rows, columns)
