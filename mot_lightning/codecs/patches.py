"""Images as patches of pixels: lossless continuous latents."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from mot_lightning.codecs.image import ImageCodec, OneImage
from mot_lightning.errors import require
from mot_lightning.sequence import Latents

CHUNK = 2048  # images of which the statistics are computed at a time


def to_patches(image: OneImage, p: int) -> Float[Tensor, "n c*{p}*{p}"]:
    """An image -> its patches of side p, row by row."""
    return F.unfold(image[None], p, stride=p)[0].T


def from_patches(patches: Latents, size: tuple[int, int], p: int) -> OneImage:
    """Patches (n, c p p) -> the image of that height and width."""
    return F.fold(patches.T[None], size, p, stride=p)[0]


class Patches(ImageCodec):
    """Image (c, h, w) in [0, 1] <-> standardised patches (n, c p p), row by row.

    Args:
        shape: channels, height and width of every image.
        patch_size: side p of a patch, in pixels.

    Raises:
        ValueError: the patch does not divide the image, or an image has another shape.
    """

    mean: Float[Tensor, ""]
    std: Float[Tensor, ""]

    def __init__(self, shape: tuple[int, int, int], patch_size: int) -> None:
        super().__init__(shape)
        self.patch_size = patch_size
        c, h, w = self.shape
        divides = patch_size >= 1 and h % patch_size == 0 and w % patch_size == 0
        require("patch_size", patch_size, f"a divisor of the image's {h}x{w}", divides)
        self.latent_dim = c * patch_size**2
        self.register_buffer("mean", torch.tensor(0.5))
        self.register_buffer("std", torch.tensor(0.5))

    @property
    def length(self) -> int:
        return self.grid[0] * self.grid[1]

    @property
    def grid(self) -> tuple[int, int]:
        return self.shape[1] // self.patch_size, self.shape[2] // self.patch_size

    def fit(self, media: Sequence[OneImage]) -> None:
        """Learn the mean and standard deviation of the training images' pixels, so that latents have unit scale."""
        counts, means, stds = [], [], []
        for start in range(0, len(media), CHUNK):
            pixels = torch.stack([media[i] for i in range(start, min(start + CHUNK, len(media)))])
            counts.append(pixels.numel())
            means.append(float(pixels.mean()))
            stds.append(float(pixels.std()))
        n, m, s = (torch.tensor(column, dtype=torch.float64) for column in (counts, means, stds))  # (chunks,) each
        mean = (n * m).sum() / n.sum()
        squares = ((n - 1) * s.square() + n * (m - mean).square()).sum()
        self.mean.copy_(mean)
        self.std.copy_((squares / (n.sum() - 1)).sqrt().clamp(min=1e-3))

    def encode(self, media: OneImage) -> Latents:
        self.check(media)
        return (to_patches(media, self.patch_size) - self.mean.to(media)) / self.std.to(media)  # (n, c p p)

    def decode(self, tokens: Latents) -> OneImage:
        _, h, w = self.shape
        return from_patches(tokens * self.std + self.mean, (h, w), self.patch_size).clamp(0, 1)  # (c, h, w)
