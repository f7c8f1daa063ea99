"""Runs of documents by their tokens: which documents they have, and how ranks share them."""

from hypothesis import given
from hypothesis import strategies as st
from randomised import often

from datamodules.sampler import OrderedSampler, ResumableSampler
from datamodules.token_runs import TokenRuns, shares

SIZE = 23


def length(index):
    return 3 + 7 * index.item % 11


def runs(tokens, rank=0, world=1, size=SIZE, **settings):
    return TokenRuns(ResumableSampler(size, 5, lambda: 0, rank, world), length, tokens, **settings)


def numbers(batch):
    return [index.number for index in batch]


def test_a_run_is_the_longest_that_fits():
    one = runs(40)
    order = one.order
    for start in range(3 * SIZE):
        batch = one.at(start)
        lengths = [length(order.at(number)) for number in range(start, start + batch.over_ranks + 1)]
        assert numbers(batch) == [*range(start, start + batch.over_ranks)]
        assert sum(lengths[:-1]) <= 40 < sum(lengths)


def test_a_document_that_is_longer_than_the_tokens_is_a_run():
    assert [len(runs(2).at(start)) for start in range(SIZE)] == [1] * SIZE


def test_a_run_leaves_a_document_for_each_rank_of_the_last_one():
    """Three documents fit: of five, two are left for the two ranks, of four only one would be."""
    for size, documents in ((5, 3), (4, 2), (3, 3)):
        runs_of_ranks = [TokenRuns(OrderedSampler(range(size), rank, 2), lambda _: 10, 15) for rank in range(2)]
        assert [one.at(0, size).over_ranks for one in runs_of_ranks] == [documents] * 2


@often
def test_ranks_share_the_run_of_their_tokens_together(tried):
    """Each has a document at least, and what it has more than its tokens is less than a document."""

    @tried
    @given(st.integers(1, 5), st.integers(1, 60), st.integers(0, 3 * SIZE))
    def shared(world, tokens, start):
        ranks = [runs(tokens, rank, world).at(start) for rank in range(world)]
        together = sorted(number for rank in ranks for number in numbers(rank))
        assert together == [*range(start, start + ranks[0].over_ranks)]
        assert {rank.over_ranks for rank in ranks} == {len(together)}
        assert all(rank and numbers(rank) == sorted(numbers(rank)) for rank in ranks)
        alone = runs(tokens * world).at(start)
        assert len(together) == max(world, len(alone))
        totals = [sum(map(length, rank)) for rank in ranks]
        longest = max(length(index) for rank in ranks for index in rank)
        if sum(totals) <= tokens * world:
            assert max(totals) <= tokens + (1 - 1 / world) * longest

    shared()


def test_ranks_with_half_the_tokens_have_the_same_runs():
    for start in range(2 * SIZE):
        for world in (2, 3, 4):
            ranks = [runs(60 // world, rank, world).at(start) for rank in range(world)]
            assert sorted(number for rank in ranks for number in numbers(rank)) == numbers(runs(60).at(start))


def test_no_rank_is_without_a_document_at_the_end():
    for world in (1, 2, 3, 4):
        for size in range(world, 30):
            for tokens in (1, 9, 30, 1000):
                ranks = [TokenRuns(OrderedSampler(range(size), r, world), length, tokens) for r in range(world)]
                start = 0
                while start < size:
                    batches = [rank.at(start, size) for rank in ranks]
                    assert all(batches)
                    start += batches[0].over_ranks
                assert start == size


def test_a_length_is_computed_once():
    """A loader and its workers ask for each run, and the document that does not fit begins the next one."""
    asked = []

    def counted(index):
        asked.append(index.number)
        return length(index)

    one = TokenRuns(ResumableSampler(SIZE, 5), counted, 40)
    for _ in range(2):
        start = 0
        while start < SIZE:
            start += one.at(start).over_ranks
    assert asked == [*range(start + 1)]


def test_ranks_have_about_as_many_tokens():
    assert shares([9, 1, 1, 8, 1, 1], 2) == [[0, 2, 5], [1, 3, 4]]
    assert shares([5, 4, 3, 3, 3], 2) == [[0, 3], [1, 2, 4]]
    assert shares([1], 3) == [[0], [], []]
