"""In which order documents are drawn: a pure function of (seed, number of documents drawn), so that resuming is exact.

Knows indices and ranks; nothing of documents.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from torch.utils.data import Sampler


class Draw(NamedTuple):
    """One document to be made."""

    item: int  # that it starts from
    number: int  # how many documents were drawn before it, over all ranks: seeds what is random in it


class ResumableSampler(Sampler[Draw]):
    """An endless stream of shuffled passes over `size` items, each rank taking every `world`-th draw.

    Args:
        size: items in a pass.
        seed: of the shuffles.
        consumed: documents drawn so far, over all ranks: where to go on.
        rank, world: which draws are this process's own.
    """

    def __init__(self, size: int, seed: int, consumed: int = 0, rank: int = 0, world: int = 1) -> None:
        if size < 1:
            raise ValueError(f"the training split holds {size} items, wanted at least 1")
        self.size, self.seed, self.consumed, self.rank, self.world = size, seed, consumed, rank, world
        self._pass = lru_cache(maxsize=2)(self._shuffled)

    def _shuffled(self, epoch: int) -> np.ndarray:
        return np.random.default_rng((self.seed, epoch)).permutation(self.size)

    def __iter__(self) -> Iterator[Draw]:
        number = self.consumed + self.rank
        while True:
            epoch, place = divmod(number, self.size)
            yield Draw(int(self._pass(epoch)[place]), number)
            number += self.world
