"""Records stay in their splits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from randomised import often

from datamodules.splits import as_named, digest, divide

FRACTIONS = {"val": 0.1, "test": 0.05}


def names(splits):
    """The split of each record."""
    return [name for _, name in sorted((int(i), name) for name, records in splits.items() for i in records)]


def test_records_that_are_added_later_change_no_split():
    few, many = names(divide(300, FRACTIONS)), names(divide(100_000, FRACTIONS))
    assert few == many[:300]
    assert [many.count(name) / len(many) for name in ("val", "test")] == pytest.approx([0.1, 0.05], rel=0.05)


def test_splits_do_not_follow_the_order_of_records():
    splits = divide(10_000, FRACTIONS)
    for records in splits.values():
        assert abs(np.corrcoef(records, np.arange(len(records)))[0, 1]) < 0.1  # the first of a split are any
        assert np.bincount(records % 10, minlength=10).min() > 0.7 * len(records) / 10


@often
def test_every_record_is_in_one_split_and_none_is_empty_where_there_are_enough(tried):
    @tried
    @given(st.integers(1, 60), st.floats(0, 0.45), st.floats(0, 0.45))
    def holds(count, val, test):
        enough = count > (val > 0) + (test > 0)
        if not enough:
            return
        splits = divide(count, {"val": val, "test": test})
        assert sorted(np.concatenate([*splits.values()])) == list(range(count))
        assert [len(splits[name]) > 0 for name in ("val", "test")] == [val > 0, test > 0]

    holds()


def test_groups_share_a_split_wherever_their_records_are():
    speakers = [f"speaker {i % 100}" for i in range(1_000)]
    splits = divide(1_000, FRACTIONS, speakers)
    by_speaker = {}
    for i, name in enumerate(names(splits)):
        by_speaker.setdefault(speakers[i], set()).add(name)
    assert all(len(one) == 1 for one in by_speaker.values())
    assert {name for one in by_speaker.values() for name in one} == {"train", "val", "test"}
    assert names(divide(500, FRACTIONS, speakers[:500])) == names(splits)[:500]
    for name in FRACTIONS:  # the first of a split are of many speakers
        of_split = [speakers[i] for i in splits[name]]
        assert len({*of_split[: len(of_split) // 4]}) > len({*of_split}) / 2


@pytest.mark.parametrize("groups", [None, ["a"] * 5])
def test_splits_that_leave_none_to_train_on_are_refused(groups):
    count = 1 if groups is None else len(groups)
    with pytest.raises(ValueError, match=rf"the source has {count} records, and the splits .* leave none to train on"):
        divide(count, {"val": 0.999}, groups)


def test_a_digest_knows_the_splits_of_the_first_records_alone():
    one = as_named(["train", "val", "test", "train"], "split")
    other = as_named(["train", "val", "test", "val"], "split")
    assert digest(one, 3) == digest(other, 3)
    assert digest(one, 4) != digest(other, 4)
