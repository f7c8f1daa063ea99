"""How latents enter the backbone and leave it: one by one, or as an image through convolutions (Transfusion's two).

Knows latents, their grid and a time vector per segment; nothing of noise or of what is predicted.
"""

import math
from functools import partial
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mot_lightning.sequence import Tokens

Skip = tuple[Tensor, ...]


class LatentIO(Protocol):
    """Latents (n, latent_dim) <-> vectors (n, d), with a time vector (k, d) for the k segments that they fill."""

    output: nn.Linear  # the last layer, which starts at zero

    def enter(self, x: Tensor, time: Tensor) -> tuple[Tensor, Skip]:
        """Vectors, and what goes past the backbone to `leave`."""
        ...

    def leave(self, hidden: Tensor, skip: Skip) -> Tensor:
        """Latents from hidden states."""
        ...


class LinearIO(nn.Module):
    """Every latent by itself."""

    def __init__(self, dim: int, tokens: Tokens) -> None:
        super().__init__()
        assert tokens.latent_dim is not None
        self.input = nn.Linear(tokens.latent_dim, dim)
        self.output = nn.Linear(dim, tokens.latent_dim)

    def enter(self, x: Tensor, time: Tensor) -> tuple[Tensor, Skip]:
        return self.input(x), ()  # (n, d)

    def leave(self, hidden: Tensor, skip: Skip) -> Tensor:
        return self.output(hidden)  # (n, latent_dim)


class UNetIO(nn.Module):
    """The outer blocks of a U-Net: from the image of all latents down to its tokens, and back up beside a skip.

    A token is a square of p x p positions of the image, channel by channel; each way has one residual block, which
    knows the time, half as wide as the backbone.
    """

    def __init__(self, dim: int, tokens: Tokens) -> None:
        super().__init__()
        from diffusers.models.resnet import ResnetBlock2D  # seconds of imports, for those who want it

        assert tokens.latent_dim is not None
        if tokens.grid is None:
            raise ValueError("io is 'unet', wanted 'linear': the codec's tokens lie on no grid")
        channels, rest = divmod(tokens.latent_dim, tokens.patch_size**2)
        if rest:
            raise ValueError(f"patch_size is {tokens.patch_size}, wanted one whose square divides {tokens.latent_dim}")
        self.grid, self.patch_size, p = tokens.grid, tokens.patch_size, tokens.patch_size
        width = max(1, dim // 2)
        # the time scales and shifts after the norm: one over few channels would undo what is added before it
        block = partial(
            ResnetBlock2D,
            out_channels=width,
            temb_channels=dim,
            groups=max(1, math.gcd(width, 128) // 4),
            time_embedding_norm="scale_shift",
        )
        self.first = nn.Conv2d(channels, width, 3, padding=1)
        self.down = block(in_channels=width)
        self.input = nn.Conv2d(width, dim, p, stride=p)
        self.back = nn.ConvTranspose2d(dim, width, p, stride=p)
        self.up = block(in_channels=2 * width)
        self.output = nn.Linear(width, channels)

    def enter(self, x: Tensor, time: Tensor) -> tuple[Tensor, Skip]:
        grid = self._grid(x, len(time))  # (k, c p p, rows, columns)
        features = self.down(self.first(F.pixel_shuffle(grid, self.patch_size)), time)  # (k, w, p rows, p columns)
        return self._rows(self.input(features)), (features, time)  # (n, d)

    def leave(self, hidden: Tensor, skip: Skip) -> Tensor:
        features, time = skip
        coarse = self.back(self._grid(hidden, len(time)))  # (k, w, p rows, p columns)
        image = self.up(torch.cat([coarse, features], 1), time)
        image = self.output(image.movedim(1, -1)).movedim(-1, 1)  # (k, c, p rows, p columns)
        return self._rows(F.pixel_unshuffle(image, self.patch_size))  # (n, c p p)

    def _grid(self, x: Tensor, segments: int) -> Tensor:
        return x.view(segments, *self.grid, x.shape[-1]).movedim(-1, 1)  # (k, channels, rows, columns)

    @staticmethod
    def _rows(grid: Tensor) -> Tensor:
        return grid.movedim(1, -1).flatten(0, 2)  # (n, channels)
