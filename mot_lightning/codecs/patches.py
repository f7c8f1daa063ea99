"""Images as patches of pixels: continuous latents with nothing lost."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mot_lightning.codecs.image import ImageCodec


def to_patches(image: Tensor, p: int) -> Tensor:
    """(c, h, w) -> its patches of side p, row by row, (n, c p p)."""
    return F.unfold(image[None], p, stride=p)[0].T


def from_patches(patches: Tensor, size: tuple[int, int], p: int) -> Tensor:
    """(n, c p p) -> (c, h, w) of that height and width."""
    return F.fold(patches.T[None], size, p, stride=p)[0]


class Patches(ImageCodec):
    """Image (c, h, w) in [0, 1] <-> standardised patches (n, c p p), row by row.

    Args:
        shape: channels, height and width of every image.
        patch_size: side p of a patch, in pixels.

    Raises:
        ValueError: the patch does not divide the image, or an image has another shape.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, shape: tuple[int, int, int], patch_size: int) -> None:
        super().__init__(shape)
        self.patch_size = patch_size
        c, h, w = self.shape
        if patch_size < 1 or h % patch_size or w % patch_size:
            raise ValueError(f"patch_size is {patch_size}, wanted a divisor of the image's {h}x{w}")
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

    def encode(self, media: Tensor) -> Tensor:
        self.check(media)
        return (to_patches(media, self.patch_size) - self.mean.to(media)) / self.std.to(media)  # (n, c p p)

    def decode(self, tokens: Tensor) -> Tensor:
        _, h, w = self.shape
        return from_patches(tokens * self.std + self.mean, (h, w), self.patch_size).clamp(0, 1)  # (c, h, w)
