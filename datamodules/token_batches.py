"""Batches of as many documents as have a number of tokens: in training without end, and of an evaluation."""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch.utils.data import Sampler

from datamodules.batches import Batch
from datamodules.sampler import OrderedSampler, RepeatingSampler, ResumableSampler, SampleIndex
from datamodules.token_runs import TokenRuns
from mot_lightning.errors import say


def token_batches(order: Any, length: Callable[[SampleIndex], int], tokens: int, limit: float) -> Sampler[Batch]:
    """Batches in the order of a sampler.

    Args:
        order: of training documents or of an evaluation's.
        length: tokens of a document.
        tokens: of each rank.
        limit: of an evaluation: a number of batches, or a fraction of them, which is the caller's to keep to.
    """
    if isinstance(order, OrderedSampler):
        most = limit if isinstance(limit, int) else math.inf
        return EvaluationBatches(TokenRuns(order, length, tokens, kept=None), len(order.items), most)
    if isinstance(order, RepeatingSampler):
        return RepeatedBatches(order.sampler, TokenRuns(order.sampler, length, tokens), order.batches)
    return TrainingBatches(order, TokenRuns(order, length, tokens))


def say_which_are_encoded(sources: Mapping[str, Any]) -> None:
    """Say of which data sets a length takes as long as a document."""
    if names := ", ".join(name for name, source in sources.items() if not source.encoded):
        say(f"data.tokens: documents of {names} are encoded in the main process too, for their lengths; "
            "tokens of the command encode are not")  # fmt: skip


class TrainingBatches(Sampler[Batch]):
    """Without end, from the documents consumed on."""

    def __init__(self, order: ResumableSampler, runs: TokenRuns) -> None:
        self.order, self.runs = order, runs

    def __iter__(self) -> Iterator[Batch]:
        start = self.order.consumed()
        while True:
            yield (batch := self.runs.at(start))
            start += batch.over_ranks


class RepeatedBatches(Sampler[Batch]):
    """The first batches again and again, for `trainer.overfit_batches`."""

    def __init__(self, order: ResumableSampler, runs: TokenRuns, batches: int) -> None:
        self.order, self.runs, self.batches = order, runs, batches

    def __iter__(self) -> Iterator[Batch]:
        number, size = self.order.consumed(), 0
        for _ in range(self.batches):
            size += self.runs.at(size).over_ranks
        while True:
            times, start = divmod(number, size)
            batch = self.runs.at(start, size)
            yield Batch((index._replace(repeat=times) for index in batch), batch.over_ranks)
            number += batch.over_ranks

    def __len__(self) -> int:
        return self.batches


class EvaluationBatches(Sampler[Batch]):
    """All items once, or those of the first batches; ranks have equally many batches."""

    def __init__(self, runs: TokenRuns, size: int, most: float) -> None:
        self.runs, self.size, self.most = runs, size, most

    def __iter__(self) -> Iterator[Batch]:
        start = number = 0
        while start < self.size and number < self.most:
            if batch := self.runs.at(start, self.size):
                yield batch
            start, number = start + batch.over_ranks, number + 1

    def __len__(self) -> int:
        return sum(1 for _ in self)
