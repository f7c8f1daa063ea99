"""The resumable sampler: order, resumption, and ranks."""

from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st
from randomised import often

from datamodules.sampler import OrderedSampler, RepeatingSampler, ResumableSampler

SIZE = 11


def draws(n, consumed=0, **settings):
    return list(islice(ResumableSampler(SIZE, consumed=lambda: consumed, **{"seed": 3, **settings}), n))


def test_each_pass_is_a_permutation():
    stream = draws(4 * SIZE)
    for start in range(0, len(stream), SIZE):
        assert sorted(draw.item for draw in stream[start : start + SIZE]) == list(range(SIZE))


def test_order_differs_between_passes_and_seeds():
    items = [draw.item for draw in draws(2 * SIZE)]
    assert items[:SIZE] != items[SIZE:]
    assert items != [draw.item for draw in draws(2 * SIZE, seed=4)]


def test_draw_numbers_are_consecutive():
    assert [draw.number for draw in draws(3 * SIZE)] == list(range(3 * SIZE))


@pytest.mark.parametrize("world", [1, 2, 3])
def test_resumed_at_any_point_equals_uninterrupted(world):
    for rank in range(world):
        whole = draws(3 * SIZE, rank=rank, world=world)
        for taken in range(2 * SIZE):
            resumed = draws(SIZE, consumed=taken * world, rank=rank, world=world)
            assert resumed == whole[taken : taken + SIZE]


@pytest.mark.parametrize("world", [2, 3, 4, 13])  # also more ranks than items in a pass
def test_ranks_partition_the_draws(world):
    ranks = [draws(3 * SIZE, rank=rank, world=world) for rank in range(world)]
    together = sorted((draw for rank in ranks for draw in rank), key=lambda draw: draw.number)
    assert together == draws(3 * SIZE * world)


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 1), (2, 3), (4, 3)])
def test_changing_the_world_size_keeps_the_order(before, after):
    steps = 5
    first = [draw for rank in range(before) for draw in draws(steps, rank=rank, world=before)]
    consumed = steps * before
    then = [draw for rank in range(after) for draw in draws(steps, consumed=consumed, rank=rank, world=after)]
    assert sorted(first + then, key=lambda draw: draw.number) == draws(consumed + steps * after)


@often
def test_any_stops_on_any_numbers_of_ranks_keep_the_order(tried):
    """Ranks, and draws of each rank between two stops."""

    @tried
    @given(st.integers(0, 99), st.lists(st.tuples(st.integers(1, 5), st.integers(0, 9)), max_size=5))
    def kept(seed, stages):
        consumed, all_draws = 0, []
        for world, n in stages:
            for rank in range(world):
                all_draws += draws(n, seed=seed, consumed=consumed, rank=rank, world=world)
            consumed += n * world
        assert sorted(all_draws, key=lambda draw: draw.number) == draws(consumed, seed=seed)

    kept()


def test_iterating_again_restarts_at_consumed():
    sampler = ResumableSampler(SIZE, seed=3, consumed=lambda: 7)
    assert list(islice(sampler, 20)) == list(islice(sampler, 20))


def test_an_epoch_continues_where_the_one_before_ended():
    consumed = 0
    sampler = ResumableSampler(SIZE, seed=3, consumed=lambda: consumed)
    first = list(islice(sampler, 4))
    consumed = 4
    assert first + list(islice(sampler, 4)) == draws(8)


@pytest.mark.parametrize("world", [1, 2])
def test_repeating_sampler_repeats_the_first_documents_of_each_rank(world):
    for rank in range(world):
        sampler = ResumableSampler(SIZE, seed=3, rank=rank, world=world)
        first = draws(3, rank=rank, world=world)
        second, third = ([index._replace(repeat=times) for index in first] for times in (1, 2))
        assert list(islice(RepeatingSampler(sampler, 3), 8)) == [*first, *second, *third[:2]]
        resumed = ResumableSampler(SIZE, seed=3, consumed=lambda: 2 * world, rank=rank, world=world)
        assert list(islice(RepeatingSampler(resumed, 3), 4)) == [first[2], *second]


def test_ordered_sampler_gives_every_item_to_one_rank():
    ranks = [list(OrderedSampler(range(SIZE), rank, 3)) for rank in range(3)]
    assert sorted(index.item for rank in ranks for index in rank) == list(range(SIZE))
    assert [len(OrderedSampler(range(SIZE), rank, 3)) for rank in range(3)] == [len(rank) for rank in ranks]


def test_empty_split_raises():
    with pytest.raises(ValueError, match="0 items, wanted at least 1"):
        ResumableSampler(0, seed=0)
