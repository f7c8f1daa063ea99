"""Noise as a pure function of seeds: the same on any device and rank, and in any batch.

Knows seeds of segments and tokens; which noise an objective needs is left to it.

A counter-based generator keeps no state that one sample leaves to the next: the noise of a token is a hash of its seed
(splitmix64's finaliser, doi 10.1145/2714064.2660195, figure 16), and normal noise the Box-Muller transform of a hash.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mot_lightning.seeds import GAMMA, ROUNDS, mix
from mot_lightning.sequence import ModalityBatch


def _signed(number: int) -> int:
    """The int64 of the same bits as a 64-bit number."""
    return number - (1 << 64) if number >> 63 else number


class Noise:
    """Uniform and normal noise of the segments and tokens of one modality; each call samples anew.

    All noise is float32, and a function of the seed that its segment or token has, the run's seed, and the number of
    calls before: of nothing else in the batch.

    Args:
        segments: seeds of the k segments, int64.
        tokens: seeds of the n tokens, int64, well mixed; without them there is no noise of tokens.
        seed: of the run.
    """

    def __init__(self, segments: Int[Tensor, " k"], tokens: Int[Tensor, " n"] | None = None, seed: int = 0) -> None:
        self.segments, self.tokens = segments, segments[:0] if tokens is None else tokens
        self.seed, self.calls = seed, 0

    @classmethod
    def of(cls, part: ModalityBatch, seed: int = 0) -> "Noise":
        """The noise of one modality of a batch."""
        return cls(part.segment_seed, part.token_seed, seed)

    def uniform(self) -> Float[Tensor, " k"]:
        """One number from 0 to below 1 for each segment."""
        return _uniform(self._counters(self.segments))

    def normal(self) -> Float[Tensor, " k"]:
        """One standard normal number for each segment."""
        return _normal(self._counters(self.segments), 1)[:, 0]

    def token_uniform(self) -> Float[Tensor, " n"]:
        """One number from 0 to below 1 for each token."""
        return _uniform(self._counters(self.tokens))

    def token_normal(self, channels: int) -> Float[Tensor, "n channels"]:
        """Standard normal numbers for each token."""
        return _normal(self._counters(self.tokens), channels)

    def _counters(self, seeds: Tensor) -> Tensor:
        self.calls += 1
        return seeds + mix(self.seed, self.calls)  # (k,) or (n,)


def _hash(counters: Tensor) -> Tensor:
    """64 random bits for each counter, in its place."""
    for shift, multiplier in ROUNDS:
        # a logical shift: that of signed numbers repeats the sign
        counters ^= (counters >> shift).bitwise_and_((1 << 64 - shift) - 1)
        if multiplier != 1:
            counters *= _signed(multiplier)
    return counters


def _uniform(counters: Tensor) -> Tensor:
    return (_hash(counters) >> 40).bitwise_and_((1 << 24) - 1).float() * 2.0**-24  # as many bits as float32 has


def _normal(counters: Tensor, channels: int) -> Tensor:
    """(n,) -> (n, channels): each hash gives a radius and an angle, and these two normal numbers."""
    steps = torch.arange((channels + 1) // 2, device=counters.device) * _signed(GAMMA)
    bits = _hash(counters[:, None] + steps)  # (n, channels / 2)
    low = 2**32 - 1
    angle = (bits & low).float().mul_(2 * math.pi * 2.0**-32)
    radius = (bits >> 32).bitwise_and_(low).float().add_(0.5).mul_(2.0**-32).log_().mul_(-2).sqrt_()
    return torch.cat([angle.cos().mul_(radius), angle.sin_().mul_(radius)], 1)[:, :channels]
