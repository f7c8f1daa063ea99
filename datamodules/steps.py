"""Batches that know their optimizer step, so that gradient accumulation changes no gradient.

Knows batches and ranks, not documents.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
from torch.utils.data import DataLoader

from mot_lightning.sequence import InterleavedBatch, Step


class StepLoader(DataLoader[Any]):
    """A DataLoader whose batches have their `Step`: it reads all batches of a step before it returns the first.

    Args:
        batches: gives each `Batch`, and the same ones when it is iterated again.
        sizes: called at the start of an epoch: how many batches each of its steps has.
    """

    def __init__(self, dataset: Any, batches: Any, sizes: Callable[[], Iterator[int]], **settings: Any) -> None:
        super().__init__(dataset, batch_sampler=batches, **settings)
        self.batches, self.sizes = batches, sizes

    def __iter__(self) -> Iterator[InterleavedBatch]:  # type: ignore[override]
        batches, samples = super().__iter__(), iter(self.batches)
        for size in self.sizes():
            batches_of_step = list(islice(batches, size))
            targets = targets_of(batches_of_step) if size > 1 else {}
            for position, (batch, indices) in enumerate(zip(batches_of_step, samples, strict=False)):
                numbers = np.array([index.number for index in indices])
                yield batch._replace(step=Step(position, size, targets, numbers, indices.over_ranks))


def step_sizes(trainer: Any) -> Iterator[int]:
    """How many batches each optimizer step of an epoch has, from the current one on; the last may have fewer.

    Args:
        trainer: of Lightning; None if there is none, and each step has one batch.
    """
    position, epoch = 0, math.inf  # batches of the epoch so far, and in all
    if trainer:
        position = trainer.fit_loop.epoch_loop.batch_progress.current.ready
        epoch = trainer.limit_train_batches if isinstance(trainer.limit_train_batches, int) else math.inf
    while True:
        every = trainer.accumulate_grad_batches if trainer else 1
        size = every - position % every
        # after a resumption at its end, Lightning trains a step beyond the epoch
        size = int(min(size, epoch - position)) if position < epoch else size
        yield size
        position += size


def targets_of(batches: Sequence[InterleavedBatch]) -> dict[str, tuple[float, float]]:
    """By modality: the number of targets with a loss in all batches, and the number of their segments."""
    sums: dict[str, tuple[float, float]] = {}
    for batch in batches:
        for name, part in batch.by_modality.items():
            targets, segments = sums.get(name, (0.0, 0.0))
            weight = part.weight.double()
            sums[name] = targets + weight.sum().item(), segments + (weight * part.segment_weight).sum().item()
    return sums
