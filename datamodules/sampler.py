"""The order of training documents: a pure function of (seed, documents consumed), so that resuming is exact.

Knows indices and ranks, not documents.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import count, repeat
from typing import Any, NamedTuple

import numpy as np
from torch.utils.data import Sampler, SequentialSampler


class SampleIndex(NamedTuple):
    """The index of one document."""

    item: int  # that the document starts from
    number: int  # of documents before it, over all ranks; seeds its randomness
    repeat: int = 0  # how often it was sampled before with this number; seeds its noise, too


class ResumableSampler(Sampler[SampleIndex]):
    """An endless stream of shuffled passes over `size` items; each rank takes every `world`-th.

    Args:
        size: items in a pass.
        seed: of the shuffles.
        consumed: called at the start of an epoch: documents sampled so far over all ranks, where the stream continues.
        rank, world: of this process, and the number of processes.
    """

    def __init__(
        self, size: int, seed: int, consumed: Callable[[], int] = lambda: 0, rank: int = 0, world: int = 1
    ) -> None:
        if size < 1:
            raise ValueError(f"the training split holds {size} items, wanted at least 1")
        self.size, self.seed, self.consumed, self.rank, self.world = size, seed, consumed, rank, world
        self._pass = lru_cache(maxsize=2)(self._shuffled)

    def _shuffled(self, epoch: int) -> np.ndarray:
        return np.random.default_rng((self.seed, epoch)).permutation(self.size)

    def at(self, number: int) -> SampleIndex:
        """The document that `number` documents come before, over all ranks."""
        epoch, offset = divmod(number, self.size)
        return SampleIndex(int(self._pass(epoch)[offset]), number)

    def __iter__(self) -> Iterator[SampleIndex]:
        return map(self.at, count(self.consumed() + self.rank, self.world))


class OrderedSampler(SequentialSampler):
    """Items in their order; each rank takes every `world`-th. Lightning leaves sequential samplers unchanged."""

    def __init__(self, items: Sequence[int], rank: int = 0, world: int = 1) -> None:
        self.items, self.rank, self.world = items, rank, world

    def at(self, number: int) -> SampleIndex:
        """The item that `number` items come before, over all ranks."""
        return SampleIndex(self.items[number], self.items[number])

    def __iter__(self) -> Iterator[Any]:
        return map(self.at, range(self.rank, len(self.items), self.world))

    def __len__(self) -> int:
        return len(range(self.rank, len(self.items), self.world))


class RepeatingSampler(SequentialSampler):
    """The first documents of each rank, again and again, for `trainer.overfit_batches`: so many batches of a size."""

    def __init__(self, sampler: ResumableSampler, batches: int, size: int = 1) -> None:
        self.sampler, self.batches, self.period, self.world = sampler, batches, batches * size, sampler.world

    def __iter__(self) -> Iterator[Any]:
        rank, world = self.sampler.rank, self.world
        places = map(divmod, count(self.sampler.consumed() // world), repeat(self.period))
        return (self.sampler.at(rank + world * offset)._replace(repeat=times) for times, offset in places)

    def __len__(self) -> int:
        return self.period
