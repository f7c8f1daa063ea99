"""Images as discrete units: k-means of patches of pixels. Cheap, as no network is trained."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from mot_lightning.codecs.clusters import cluster
from mot_lightning.codecs.image import ImageCodec, Images, OneImage, one_image, psnr
from mot_lightning.codecs.patches import from_patches, to_patches
from mot_lightning.errors import require
from mot_lightning.seeds import generator_for
from mot_lightning.sequence import Ids

FITTED_PATCHES = 2**17  # of all training images, at most


class PatchUnits(ImageCodec):
    """Image (c, h, w) in [0, 1] <-> ids (n,) of the nearest mean patches, row by row.

    Args:
        shape: channels, height and width of every image.
        patch_size: side of a patch, in pixels.
        vocab_size: number of units.

    Raises:
        ValueError: the patch does not divide the image, or an image has another shape.
    """

    vocab_size: int
    centroids: Float[Tensor, "vocab_size pixels"]  # c p p, of the mean patches; NaN until fitted

    def __init__(self, shape: tuple[int, int, int], patch_size: int, vocab_size: int = 256) -> None:
        super().__init__(shape)
        c, h, w = self.shape
        divides = patch_size >= 1 and h % patch_size == 0 and w % patch_size == 0
        require("patch_size", patch_size, f"a divisor of the image's {h}x{w}", divides)
        require("vocab_size", vocab_size, "at least 2 units", vocab_size >= 2)
        self.patch_size, self.vocab_size = patch_size, vocab_size
        self.register_buffer("centroids", torch.full((vocab_size, c * patch_size**2), torch.nan))

    @property
    def length(self) -> int:
        return self.grid[0] * self.grid[1]

    @property
    def grid(self) -> tuple[int, int]:
        return self.shape[1] // self.patch_size, self.shape[2] // self.patch_size

    @property
    def codebook(self) -> Float[Tensor, "vocab_size pixels"]:
        return self.centroids

    @torch.no_grad()
    def fit(self, media: Sequence[OneImage]) -> None:
        """Learn the units from training images: from all patches, or from equally many random ones of each image."""
        generator = generator_for(0)
        count = max(1, min(self.length, FITTED_PATCHES // max(1, len(media))))
        sampled = []
        for image in media:
            chosen = torch.randperm(self.length, generator=generator)[:count]  # (count,)
            sampled.append(to_patches(image, self.patch_size)[chosen])
        self.centroids.copy_(cluster(torch.cat(sampled), self.vocab_size))

    @torch.no_grad()
    def encode(self, media: OneImage) -> Ids:
        """Image -> int64 ids. Raises ValueError before `fit`."""
        self.check(media)
        if self.centroids.isnan().any():
            raise ValueError("PatchUnits has no units yet: call fit, or load a checkpoint that holds them")
        return torch.cdist(to_patches(media, self.patch_size), self.centroids).argmin(1)

    def decode(self, tokens: Ids) -> OneImage:
        """Ids -> image. Short segments are padded with their last id, long ones are cut."""
        _, h, w = self.shape
        return from_patches(self.centroids[one_image(tokens, self.length)], (h, w), self.patch_size)  # (c, h, w)

    def quality(self, images: Images) -> dict[str, float]:
        """PSNR of reconstructions in dB, and the fraction of units in use."""
        ids = [self.encode(image) for image in images]
        used = torch.cat(ids).unique()
        return {
            "psnr": psnr(torch.stack([self.decode(one) for one in ids]), images),
            "units_used": len(used) / self.vocab_size,
        }
