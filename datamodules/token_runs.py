"""The runs of documents that have at most a number of tokens on all ranks together, and how ranks share them.

Knows sample indices and lengths, not documents.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from heapq import heapreplace
from itertools import count, takewhile
from typing import Any

from datamodules.batches import Batch
from datamodules.sampler import SampleIndex

KEPT = 1024  # runs: a loader and its workers ask for the same ones, some of them ahead


class TokenRuns:
    """The longest runs of documents that have at most a number of tokens.

    Which documents a run has depends on its first one and on the tokens of all ranks together, not on the number of
    these. Each has a document at least, and may have more than its tokens by less than a document.

    Args:
        order: of all documents, and which rank this is.
        length: tokens of a document, the same on each rank.
        tokens: of each rank.
        kept: runs that are kept; None keeps all.
    """

    def __init__(self, order: Any, length: Callable[[SampleIndex], int], tokens: int, kept: int | None = KEPT) -> None:
        self.order, self.tokens = order, tokens
        self.length = lru_cache(maxsize=1)(length)  # the document that did not fit begins the next run
        self.at = lru_cache(maxsize=kept)(self._run)

    def _run(self, start: int, stop: float = math.inf) -> Batch:
        """This rank's documents of the run that begins at a document.

        Args:
            stop: number of the first document that there is not. Before it, each rank has a document of the last run.
        """
        order, world = self.order, self.order.world
        numbers = takewhile(lambda number: number < stop, count(start))
        lengths = first_that_fit((self.length(order.at(number)) for number in numbers), self.tokens * world, world)
        end = start + len(lengths)
        if 0 < stop - end < world:
            if stop - start >= 2 * world:
                del lengths[int(stop) - world - start :]
            else:
                lengths += [self.length(order.at(number)) for number in range(end, int(stop))]
        return Batch((order.at(start + k) for k in shares(lengths, world)[order.rank]), len(lengths))


def first_that_fit(lengths: Iterable[int], tokens: int, least: int = 1) -> list[int]:
    """The first lengths that are together at most some tokens, but at least some number of them, if there are."""
    first, total = list[int](), 0
    for length in lengths:
        total += length
        if len(first) >= least and total > tokens:
            break
        first.append(length)
    return first


def shares(lengths: Sequence[int], world: int) -> list[list[int]]:
    """The documents of each rank, in order: from long to short, each goes to the rank that has the fewest tokens."""
    ranks: list[list[int]] = [[] for _ in range(world)]
    totals = [(0, rank) for rank in range(world)]
    for k in sorted(range(len(lengths)), key=lambda k: -lengths[k]):
        total, rank = totals[0]
        ranks[rank].append(k)
        heapreplace(totals, (total + lengths[k], rank))
    return [sorted(documents) for documents in ranks]
