"""Arrays of numbers as continuous latents: each column standardised, without loss."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from mot_lightning.codecs.base import Codec
from mot_lightning.errors import require
from mot_lightning.media import Array
from mot_lightning.sequence import Latents

Rows = Float[Tensor, "n c"]


class Standardized(Codec):
    """Array (n, c) <-> n latents of size c, one for each row, such as an action of a robot.

    Args:
        shape: n and c; n is null if it varies.
        max_length: maximum n, if it varies; the begin token encodes it.

    Raises:
        ValueError: a size is below 1, or an array has another shape.
    """

    max_length: int
    mean: Float[Tensor, " c"]
    std: Float[Tensor, " c"]  # 1 where all training values are equal

    def __init__(self, shape: tuple[int | None, int], max_length: int = 128) -> None:
        super().__init__()
        n, c = shape
        fits = (n is None or n >= 1) and c >= 1
        require("shape", list(shape), "the numbers of rows (or null) and columns, at least 1", fits)
        require("max_length", max_length, "at least 1", max_length >= 1)
        self.shape, self.media_type = (n, c), Array((n, c))
        self.max_length, self.latent_dim = max_length, c
        self.register_buffer("mean", torch.zeros(c))
        self.register_buffer("std", torch.ones(c))

    @property
    def length(self) -> int | None:
        return self.shape[0]

    def fit(self, media: Sequence[Float[Tensor, "_ c"]]) -> None:
        """Learn mean and standard deviation of each column over all rows of the training arrays."""
        rows = torch.cat([array.double() for array in media])  # (rows, c)
        std = rows.std(0, correction=0)
        self.mean.copy_(rows.mean(0))
        self.std.copy_(torch.where(std > 1e-7 * self.mean.abs().clamp_min(1e-6), std, 1))

    def encode(self, media: Rows) -> Latents:
        self.check(media)
        if self.length is None and len(media) > self.max_length:
            raise ValueError(f"array has {len(media)} rows, wanted at most max_length, {self.max_length}")
        return (media - self.mean) / self.std  # (n, c)

    def decode(self, tokens: Latents) -> Rows:
        return tokens.to(self.mean) * self.std + self.mean  # (n, c)
