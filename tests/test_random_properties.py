"""Properties of what every run relies on, at 1,000 new random inputs each time."""

from itertools import islice

import pytest
import torch
from attentions import kinds, layout_of, seeds, sequence_mask
from hypothesis import given, settings
from hypothesis import strategies as st

from datamodules.sampler import ResumableSampler
from mot_lightning.config.merge import flatten_keys, merge
from mot_lightning.errors import ConfigError
from mot_lightning.runs.checkpoint import AtomicCheckpointIO, read_checkpoint
from mot_lightning.sequence import assign_rows
from mot_lightning.training.losses import LossWeights

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
thousand = settings(max_examples=1000, deadline=None)
keys = st.text("abc", min_size=1, max_size=2)
configs = st.recursive(st.integers(), lambda inner: st.dictionaries(keys, inner, max_size=3), max_leaves=8)


@thousand
@given(st.integers(1, 50), st.integers(0, 99), st.integers(0, 200), st.integers(1, 5))
def test_sampler_goes_on_where_it_was_with_any_number_of_ranks(size, seed, consumed, world):
    whole = list(islice(ResumableSampler(size, seed), consumed + 3 * world))
    ranks = [list(islice(ResumableSampler(size, seed, lambda: consumed, r, world), 3)) for r in range(world)]
    assert sorted((s for rank in ranks for s in rank), key=lambda s: s.number) == whole[consumed:]


@thousand
@given(st.lists(st.integers(1, 30), max_size=40), st.integers(30, 90))
def test_packed_documents_do_not_overlap_and_fit_their_rows(lengths, row_length):
    used = set()
    for length, (row, start) in zip(lengths, assign_rows(lengths, row_length), strict=True):
        slots = {(row, slot) for slot in range(start, start + length)}
        assert start + length <= row_length
        assert not slots & used
        used |= slots


@thousand
@given(kinds, seeds)
def test_mask_is_closed_and_shows_each_token_itself(kinds, seed):
    seen = sequence_mask(layout_of(kinds, seed))
    assert seen.diagonal().all()
    reached = (seen.double() @ seen.double()) > 0  # what is seen by what a token sees, it sees
    assert torch.equal(reached, seen)


@thousand
@given(st.dictionaries(keys, configs, max_size=3), st.dictionaries(keys, configs, max_size=3))
def test_merging_keeps_both_and_is_idempotent(old, new):
    merged = merge(old, new)
    assert merge(merged, new) == merged
    for name in flatten_keys(new):  # an empty mapping changes nothing below it
        assert not name or any(f"{key}.".startswith(f"{name}.") for key in flatten_keys(merged))
    assert merge(old, {}) == old


@thousand
@given(st.data())
def test_damaged_checkpoint_is_refused_in_one_line(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "a.ckpt"
    state = {"ema_model.w": torch.arange(9)}
    AtomicCheckpointIO().save_checkpoint({"config": {}, "state_dict": state, "format": 2}, path)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    if bytes(content) == path.read_bytes():
        return
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))] or content)
    with pytest.raises(ConfigError) as refusal:
        read_checkpoint(path)
    assert "\n" not in str(refusal.value)


@thousand
@given(st.sampled_from(["token", "segment", "batch"]), st.lists(st.floats(0, 1e3), min_size=2, max_size=2), st.data())
def test_total_loss_is_linear_in_the_sums_of_micro_batches(reduction, weights, data):
    combine = LossWeights({"a": weights[0], "b": weights[1]}, reduction)
    number = st.lists(st.floats(0, 1e3), min_size=2, max_size=2)
    parts = [torch.tensor(data.draw(number), dtype=torch.float64) for _ in range(3)]
    targets = torch.tensor(data.draw(number), dtype=torch.float64)
    apart = sum(combine.total(part, targets) for part in parts)
    torch.testing.assert_close(apart, combine.total(sum(parts), targets), rtol=1e-9, atol=1e-9)
