"""The order of training documents: a pure function of (seed, documents consumed), so that resuming is exact.

Knows indices and ranks, not documents.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from torch.utils.data import Sampler


class SampleIndex(NamedTuple):
    """The index of one document."""

    item: int  # that the document starts from
    number: int  # of documents before it, over all ranks; seeds its randomness


class ResumableSampler(Sampler[SampleIndex]):
    """An endless stream of shuffled passes over `size` items; each rank takes every `world`-th.

    Args:
        size: items in a pass.
        seed: of the shuffles.
        consumed: documents sampled so far over all ranks, where the stream continues.
        rank, world: of this process, and the number of processes.
    """

    def __init__(self, size: int, seed: int, consumed: int = 0, rank: int = 0, world: int = 1) -> None:
        if size < 1:
            raise ValueError(f"the training split holds {size} items, wanted at least 1")
        self.size, self.seed, self.consumed, self.rank, self.world = size, seed, consumed, rank, world
        self._pass = lru_cache(maxsize=2)(self._shuffled)

    def _shuffled(self, epoch: int) -> np.ndarray:
        return np.random.default_rng((self.seed, epoch)).permutation(self.size)

    def __iter__(self) -> Iterator[SampleIndex]:
        number = self.consumed + self.rank
        while True:
            epoch, offset = divmod(number, self.size)
            yield SampleIndex(int(self._pass(epoch)[offset]), number)
            number += self.world
