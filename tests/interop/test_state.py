"""Saved state becomes tensors and JSON, and comes back as it was."""

import math

import pytest
import torch

from mot_lightning.interop.state import join, split


def test_nested_state_comes_back():
    x = torch.arange(6.0).reshape(2, 3).T
    state = {"mean": x, "_extra_state": {"net": {"a.b": x[0]}, "steps": [1, None, x[1]], "words": "tensor", "on": True}}
    tensors, others = split(state)
    assert tensors.keys() == {"mean", "_extra_state.net.a.b", "_extra_state.steps.2"}
    assert all(tensor.is_contiguous() for tensor in tensors.values())
    back = join(tensors, others)
    assert back.keys() == state.keys()
    assert torch.equal(back["mean"], x)
    extra = back["_extra_state"]
    assert torch.equal(extra["net"]["a.b"], x[0])
    assert torch.equal(extra["steps"].pop(), x[1])
    assert (extra["steps"], extra["words"], extra["on"]) == ([1, None], "tensor", True)
    assert math.isnan(join(*split({"loss": math.nan}))["loss"])


@pytest.mark.parametrize("value", [(1, 2), {1: 2}, b"bytes", {"a": [object()]}, "tensor:a"])
def test_what_would_not_come_back_is_refused(value):
    with pytest.raises(ValueError, match=r"^the state codec.* holds \w+, wanted tensors, texts, numbers"):
        split({"codec": value})


def test_a_missing_tensor_is_noticed():
    _, others = split({"codec": {"mean": torch.ones(1)}})
    with pytest.raises(ValueError, match=r"^it has no tensor codec\.mean$"):
        join({}, others)
