"""Batches by tokens: the same documents in the same order on any number of ranks, also repeated and in evaluations."""

from itertools import islice

import pytest

from datamodules.sampler import OrderedSampler, RepeatingSampler, ResumableSampler
from datamodules.token_batches import token_batches


def length(index):
    return 3 + 7 * index.item % 11


def training(tokens=30, consumed=0, rank=0, world=1, repeated=0):
    order = ResumableSampler(23, 5, lambda: consumed, rank, world)
    return token_batches(RepeatingSampler(order, repeated) if repeated else order, length, tokens, 0)


def evaluation(size=50, tokens=30, rank=0, world=1, most=1000):
    return token_batches(OrderedSampler(range(size), rank, world), length, tokens, most)


@pytest.mark.parametrize("stop", range(1, 9))
def test_a_resumed_order_goes_on_where_it_was_also_on_other_ranks(stop):
    first = [*islice(training(), stop)]
    consumed = sum(batch.over_ranks for batch in first)
    assert [*islice(training(consumed=consumed), 9)] == [*islice(training(), stop + 9)][stop:]
    for world in (2, 4, 3):
        ranks = [[*islice(training(30, consumed, rank, world), 3)] for rank in range(world)]
        for batches in zip(*ranks, strict=True):
            numbers = sorted(index.number for batch in batches for index in batch)
            assert numbers == [*range(consumed, consumed + batches[0].over_ranks)]
            consumed += len(numbers)


def test_the_first_batches_are_repeated_with_other_noise():
    first = [*islice(training(), 3)]
    repeated = [*islice(training(repeated=3), 8)]
    assert len(training(repeated=3)) == 3
    for number, batch in enumerate(repeated):
        assert batch == [index._replace(repeat=number // 3) for index in first[number % 3]]
    consumed = sum(batch.over_ranks for batch in repeated[:5])
    assert [*islice(training(consumed=consumed, repeated=3), 3)] == repeated[5:]


@pytest.mark.parametrize("world", [1, 2, 3, 7])
def test_an_evaluation_has_each_item_once_and_ranks_equally_many_batches(world):
    ranks = [evaluation(rank=rank, world=world) for rank in range(world)]
    assert sorted(index.item for rank in ranks for batch in rank for index in batch) == [*range(50)]
    assert len({len(rank) for rank in ranks}) == 1
    assert all(len([*rank]) == len(rank) for rank in ranks)
    assert len(evaluation(world=world, most=2)) == 2
    assert [*evaluation(world=world, most=2)] == [*evaluation(world=world)][:2]


def test_an_empty_evaluation_has_no_batch():
    assert len(evaluation(0)) == len([*evaluation(0)]) == 0


def test_a_limited_evaluation_finds_no_other_lengths():
    asked = []
    batches = token_batches(OrderedSampler(range(50)), lambda index: asked.append(index.item) or length(index), 30, 2)
    assert len(batches) == 2
    assert asked == [*range(sum(batch.over_ranks for batch in batches) + 1)]
