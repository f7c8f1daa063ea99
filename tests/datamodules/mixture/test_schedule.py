"""Which source gives document i: in each block exactly by the weights, each of a source's documents once, in order."""

import numpy as np
import pytest

from datamodules.mixture.phase import Phase
from datamodules.mixture.schedule import BLOCK, Schedule

CURRICULUM = [(0, [0.7, 0.2, 0.1, 0.0], False), (1000, [0, 0, 1, 3], True), (5000, [1, 1, 1, 1], False)]


@pytest.mark.parametrize("phases", [[(0, [3, 1], False)], CURRICULUM, [(0, [1] * 9, False)], [(0, [0, 2], False)]])
def test_the_documents_of_each_source_are_counted_without_a_gap(phases):
    schedule = Schedule(phases, seed=0)
    sampled = [schedule.at(number) for number in range(7000)]
    for source in range(len(phases[0][1])):
        assert [before for of, before in sampled if of == source] != [] or not any(w[source] for _, w, _ in phases)
        assert sorted(before for of, before in sampled if of == source) == [
            *range(sum(of == source for of, _ in sampled))
        ]


def test_a_block_has_each_source_by_its_weight_and_in_random_order():
    schedule = Schedule([(0, [3, 1], False)], seed=0)
    for start in range(0, 10 * BLOCK, BLOCK):
        sources = [schedule.at(start + i)[0] for i in range(BLOCK)]
        assert sources.count(0) == 3 * BLOCK // 4
        assert sources != sorted(sources)
    again = Schedule([(0, [3, 1], False)], seed=1)
    assert [again.at(i)[0] for i in range(BLOCK)] != [schedule.at(i)[0] for i in range(BLOCK)]


def test_weights_change_at_once_or_linearly():
    schedule = Schedule(CURRICULUM, seed=0)

    def fractions(start, end):
        return np.bincount([schedule.at(i)[0] for i in range(start, end)], minlength=4) / (end - start)

    assert np.allclose(fractions(0, 1000), [0.7, 0.2, 0.1, 0], atol=0.005)
    assert np.allclose(fractions(1000, 1100), [0, 0, 0.25, 0.75], atol=0.05)
    assert np.allclose(fractions(2900, 3100), [0.125, 0.125, 0.25, 0.5], atol=0.05)
    assert np.allclose(fractions(5000, 5000 + BLOCK), 0.25, atol=0.01)


def test_a_distant_document_needs_none_before_it():
    late, fresh = Schedule(CURRICULUM, seed=3), Schedule(CURRICULUM, seed=3)
    for number in range(0, 20_000, 7):
        late.at(number)
    assert [late.at(10**9 + i) for i in range(9)] == [fresh.at(10**9 + i) for i in range(9)]


@pytest.mark.parametrize("starts", [[1], [0, 5, 5], [0, 9, 3]])
def test_phases_begin_at_zero_and_rise(starts):
    with pytest.raises(ValueError, match=r"data.curriculum starts at \["):
        Schedule([(start, [1.0], False) for start in starts], 0)


@pytest.mark.parametrize("weights", [{"c": 1.0}, {"a": -1.0}, {"a": float("inf")}, {"a": 0.0}, {}])
def test_weights_that_are_none_are_refused(weights):
    with pytest.raises(ValueError, match=r"data.weights"):
        Phase(0, weights).check(["a", "b"])
