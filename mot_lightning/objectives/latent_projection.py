"""Projections of latents into and out of the backbone: one by one, or by convolutions (both as in Transfusion).

Knows latents, their grid and a time vector per segment; not noise or targets. Transfusion: arXiv 2408.11039.
"""

import math
from functools import partial
from typing import Protocol

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from mot_lightning.errors import require
from mot_lightning.initialisation import init_linear
from mot_lightning.sequence import Latents, Tokens

Skip = tuple[Tensor, ...]  # features of a skip connection around the backbone


class LatentProjection(Protocol):
    """Latents <-> hidden states of the backbone, given a time embedding for each of the k segments."""

    output: nn.Linear  # the last layer, which starts at zero

    def project_in(self, x: Latents, time: Float[Tensor, "k d"]) -> tuple[Float[Tensor, "n d"], Skip]:
        """Vectors, and features that skip the backbone to `project_out`."""
        ...

    def project_out(self, hidden: Float[Tensor, "n d"], skip: Skip) -> Latents:
        """Latents from hidden states."""
        ...


class LinearProjection(nn.Module):
    """One linear layer for each direction, applied to each latent."""

    def __init__(self, dim: int, tokens: Tokens) -> None:
        super().__init__()
        assert tokens.latent_dim is not None
        self.input = init_linear(nn.Linear(tokens.latent_dim, dim))
        self.output = init_linear(nn.Linear(dim, tokens.latent_dim), std=0.0)

    def project_in(self, x: Latents, time: Float[Tensor, "k d"]) -> tuple[Float[Tensor, "n d"], Skip]:
        return self.input(x.to(self.input.weight.dtype)), ()  # (n, d)

    def project_out(self, hidden: Float[Tensor, "n d"], skip: Skip) -> Latents:
        return self.output(hidden)  # (n, latent_dim)


class UNetProjection(nn.Module):
    """The outer blocks of a U-Net: a latent image is downsampled to its tokens, and upsampled with a skip connection.

    A token is a square of p x p positions of the image, channel by channel. Each direction has one residual block,
    conditioned on the time and half as wide as the backbone.
    """

    def __init__(self, dim: int, tokens: Tokens) -> None:
        super().__init__()
        from diffusers.models.resnet import ResnetBlock2D  # takes seconds

        assert tokens.latent_dim is not None
        if tokens.grid is None:
            raise ValueError("patch_io is 'unet', wanted 'linear': the codec's tokens lie on no grid")
        channels, remainder = divmod(tokens.latent_dim, tokens.patch_size**2)
        require("patch_size", tokens.patch_size, f"one whose square divides {tokens.latent_dim}", not remainder)
        self.grid, self.patch_size, p = tokens.grid, tokens.patch_size, tokens.patch_size
        width = max(1, dim // 2)
        # time scales and shifts after the norm: a norm over few channels would cancel a time vector added before it
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
        self.output = init_linear(nn.Linear(width, channels), std=0.0)

    def project_in(self, x: Latents, time: Float[Tensor, "k d"]) -> tuple[Float[Tensor, "n d"], Skip]:
        grid = self._grid(x.to(self.first.weight.dtype), len(time))  # (k, c p p, rows, columns)
        features = self.down(self.first(F.pixel_shuffle(grid, self.patch_size)), time)  # (k, w, p rows, p columns)
        return self._rows(self.input(features)), (features, time)  # (n, d)

    def project_out(self, hidden: Float[Tensor, "n d"], skip: Skip) -> Latents:
        features, time = skip
        coarse = self.back(self._grid(hidden, len(time)))  # (k, w, p rows, p columns)
        image = self.up(torch.cat([coarse, features], 1), time)  # (k, w, p rows, p columns)
        image = self.output(image.movedim(1, -1)).movedim(-1, 1)  # (k, c, p rows, p columns)
        return self._rows(F.pixel_unshuffle(image, self.patch_size))  # (n, c p p)

    def _grid(self, x: Tensor, segments: int) -> Tensor:
        return x.view(segments, *self.grid, x.shape[-1]).movedim(-1, 1)  # (k, channels, rows, columns)

    @staticmethod
    def _rows(grid: Tensor) -> Tensor:
        return grid.movedim(1, -1).flatten(0, 2)  # (n, channels)
