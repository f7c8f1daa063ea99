"""Training batches of equally many documents on each rank; batches by their tokens are left to `token_batches.py`."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from torch.utils.data import Sampler

from datamodules.sampler import SampleIndex


class Batch(list[SampleIndex]):
    """The documents of one rank.

    Args:
        over_ranks: number of documents in this batch of all ranks.
    """

    def __init__(self, indices: Iterable[SampleIndex], over_ranks: int) -> None:
        super().__init__(indices)
        self.over_ranks = over_ranks


class DocumentBatches(Sampler[Batch]):
    """Equally many documents on each rank."""

    def __init__(self, order: Any, size: int) -> None:
        self.order, self.size = order, size

    def __iter__(self) -> Iterator[Batch]:
        indices = iter(self.order)
        while documents := list(islice(indices, self.size)):
            yield Batch(documents, len(documents) * self.order.world)

    def __len__(self) -> int:
        return len(self.order) // self.size  # of a `RepeatingSampler`; the order of training has no end
