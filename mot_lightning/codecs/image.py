"""Images as patches of pixels: continuous latents with nothing lost."""

import textwrap
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torchvision.transforms.v2.functional import pil_to_tensor, to_pil_image

from mot_lightning.codecs.base import Codec


class Patches(Codec):
    """Image (c, h, w) in [0, 1] <-> standardised patches (n, c p p), row by row.

    Args:
        shape: channels, height and width of every image.
        patch_size: side p of a patch, in pixels.

    Raises:
        ValueError: the patch does not divide the image, or an image has another shape.
    """

    suffixes = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")
    mean: Tensor
    std: Tensor

    def __init__(self, shape: tuple[int, int, int], patch_size: int) -> None:
        super().__init__()
        self.shape, self.patch_size = tuple(shape), patch_size
        c, h, w = self.shape
        if patch_size < 1 or h % patch_size or w % patch_size:
            raise ValueError(f"patch_size is {patch_size}, wanted a divisor of the image's {h}x{w}")
        if c not in (1, 3):
            raise ValueError(f"shape has {c} channels, wanted 1 (grey) or 3 (RGB)")
        self.latent_dim = c * patch_size**2
        self.register_buffer("mean", torch.tensor(0.5))
        self.register_buffer("std", torch.tensor(0.5))

    @property
    def length(self) -> int:
        return self.grid[0] * self.grid[1]

    @property
    def grid(self) -> tuple[int, int]:
        return self.shape[1] // self.patch_size, self.shape[2] // self.patch_size

    def fit(self, media: Sequence[Tensor]) -> None:
        """Mean and standard deviation of the training images' pixels: latents of unit scale."""
        pixels = torch.stack(list(media))
        self.mean.copy_(pixels.mean())
        self.std.copy_(pixels.std().clamp(min=1e-3))

    def check(self, media: Tensor) -> None:
        if tuple(media.shape) != self.shape:
            raise ValueError(f"image is {tuple(media.shape)}, wanted {self.shape}")

    def encode(self, media: Tensor) -> Tensor:
        self.check(media)
        p = self.patch_size
        patches = F.unfold(media[None], p, stride=p)[0].T  # (n, c p p)
        return (patches - self.mean.to(media)) / self.std.to(media)

    def decode(self, tokens: Tensor) -> Tensor:
        pixels = (tokens * self.std + self.mean).T[None]  # (1, c p p, n)
        image = F.fold(pixels, self.shape[1:], self.patch_size, stride=self.patch_size)[0]
        return image.clamp(0, 1)  # (c, h, w)

    def read(self, path: Path) -> Tensor:
        """An image file, converted to this codec's channels and size."""
        try:
            with (
                warnings.catch_warnings(action="error", category=Image.DecompressionBombWarning),
                Image.open(path) as opened,
            ):
                image: Image.Image = opened
                if image.size[0] * image.size[1] > 2**26:
                    raise ValueError(f"{path} has {image.size[0]}x{image.size[1]} pixels, wanted at most 2^26")
                if image.mode.startswith("I;16"):  # convert() would clip 16 bits, not scale them
                    image = image.point(lambda level: level / 257, "L")
                converted = image.convert("L" if self.shape[0] == 1 else "RGB")
        except (
            UnidentifiedImageError,
            OSError,
            SyntaxError,
            Image.DecompressionBombError,
            Image.DecompressionBombWarning,
        ) as error:
            raise ValueError(f"{path} is not a readable image: {error}") from None
        size = (self.shape[2], self.shape[1])
        if converted.size != size:
            whole = converted.size[0] % size[0] == 0 and converted.size[1] % size[1] == 0
            converted = converted.resize(size, Image.Resampling.BOX if whole else Image.Resampling.BICUBIC)
        return pil_to_tensor(converted).float() / 255  # (c, h, w)

    def write(self, media: Tensor, stem: Path) -> Path:
        """A PNG, enlarged by whole pixels to at least 128 a side, so that it can be looked at."""
        path = stem.with_name(f"{stem.name}{self.suffixes[0]}")
        image = _pil(media)
        scale = max(1, -(-128 // min(image.size)))
        image.resize((image.size[0] * scale, image.size[1] * scale), Image.Resampling.NEAREST).save(path)
        return path

    def write_many(self, media: Sequence[Tensor], captions: Sequence[str], stem: Path) -> list[Path]:
        """One PNG: a grid of all images, each under its caption."""
        path = stem.with_name(f"{stem.name}{self.suffixes[0]}")
        _grid(media, captions).savefig(path)
        return [path]

    def show(self, board: Any, tag: str, media: Sequence[Tensor], captions: Sequence[str], step: int) -> None:
        board.add_figure(tag, _grid(media, captions), step)


def _pil(image: Tensor) -> Image.Image:
    return to_pil_image((image * 255).round().byte())


def _grid(images: Sequence[Tensor], captions: Sequence[str], columns: int = 10) -> Figure:
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    figure = Figure(figsize=(1.5 * columns, 1.8 * rows), dpi=100, layout="constrained")
    for i, axes in enumerate(figure.subplots(rows, columns, squeeze=False).flat):
        axes.axis("off")
        if i < len(images):
            axes.imshow(_pil(images[i]), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            axes.set_title(textwrap.fill(captions[i], 16), fontsize=8)
    return figure
