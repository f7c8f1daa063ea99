"""Images of one shape, their files, and boards of them."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import PIL.Image
from PIL import UnidentifiedImageError
from torch import Tensor
from torchvision.transforms.v2.functional import pil_to_tensor, to_pil_image

from mot_lightning.media.base import MediaType
from mot_lightning.media.board import board


class Image(MediaType):
    """Images (c, h, w) in [0, 1], all of one shape.

    Args:
        shape: channels (1 for grey, 3 for RGB), height and width.

    Raises:
        ValueError: images are neither grey nor RGB.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self.shape = tuple(shape)
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
        """An image file, converted to `shape`; prints what was converted, if anything."""
        try:
            with (
                warnings.catch_warnings(action="error", category=PIL.Image.DecompressionBombWarning),
                PIL.Image.open(path) as opened,
            ):
                image: PIL.Image.Image = opened
                if image.size[0] * image.size[1] > 2**26:
                    raise ValueError(f"{path} has {image.size[0]}x{image.size[1]} pixels, wanted at most 2^26")
                frames, mode = getattr(image, "n_frames", 1), image.mode
                brightest = image.getextrema()[1] if mode in ("I", "F") else 0
                if mode == "F" or (isinstance(brightest, int | float) and brightest > 65535):
                    raise ValueError(f"{path} has pixels of 32 bits, wanted 8 or 16")
                if mode.startswith("I"):  # convert() would clip 16 bits instead of scaling them
                    image = image.point(lambda level: level / 257, "L")
                converted = image.convert("L" if self.shape[0] == 1 else "RGB")
        except (
            UnidentifiedImageError,
            OSError,
            SyntaxError,
            PIL.Image.DecompressionBombError,
            PIL.Image.DecompressionBombWarning,
        ) as error:
            raise ValueError(f"{path} is not a readable image: {error}") from None
        size = (self.shape[2], self.shape[1])
        changes = [f"the first of {frames} frames"] * (frames > 1)
        changes += [f"{mode} to {converted.mode}"] * (mode != converted.mode)
        if converted.size != size:
            changes.append(f"{converted.size[0]}x{converted.size[1]} to {size[0]}x{size[1]} pixels")
            divides = converted.size[0] % size[0] == 0 and converted.size[1] % size[1] == 0
            converted = converted.resize(size, PIL.Image.Resampling.BOX if divides else PIL.Image.Resampling.BICUBIC)
        if changes:
            print(f"{path}: {', '.join(changes)}")
        return pil_to_tensor(converted).float() / 255  # (c, h, w)

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
        writer.add_figure(tag, board(captions, [[("", self.picture(image))] for image in media]), step)

    def picture(self, media: Tensor) -> PIL.Image.Image:
        return _pil(media)


def _pil(image: Tensor) -> PIL.Image.Image:
    return to_pil_image((image * 255).round().byte())
