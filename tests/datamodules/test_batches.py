"""Batches of equally many documents on each rank."""

from itertools import islice

import pytest

from datamodules.batches import DocumentBatches
from datamodules.sampler import RepeatingSampler, ResumableSampler


@pytest.mark.parametrize("world", [1, 3])
def test_ranks_share_as_many_documents_each(world):
    orders = [ResumableSampler(11, 3, lambda: 5, rank, world) for rank in range(world)]
    ranks = [[*islice(DocumentBatches(order, 4), 3)] for order in orders]
    for number, batches in enumerate(zip(*ranks, strict=True)):
        start = 5 + number * 4 * world
        documents = sorted(index.number for batch in batches for index in batch)
        assert documents == [*range(start, start + 4 * world)]
        assert {batch.over_ranks for batch in batches} == {4 * world}


def test_repeated_batches_have_a_number_and_those_of_training_have_no_end():
    order = ResumableSampler(11, 3)
    assert len(DocumentBatches(RepeatingSampler(order, 2, 4), 4)) == 2
    with pytest.raises(TypeError):
        len(DocumentBatches(order, 4))
