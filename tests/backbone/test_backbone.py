"""The backbone alone: its settings, how modalities become towers, and what the rotary embedding keeps."""

import numpy as np
import pytest
import torch

from mot_lightning.backbone import BackboneSettings
from mot_lightning.backbone.mask import attention_mask
from mot_lightning.backbone.rope import rope, rotate
from mot_lightning.backbone.settings import group_towers
from mot_lightning.sequence import Layout

NAMES = ["text", "image", "speech"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"dim": 0}, "backbone.dim is 0, wanted at least 1"),
        ({"depth": 0}, "backbone.depth is 0, wanted at least 1"),
        ({"heads": -1}, "backbone.heads is -1, wanted at least 1"),
        ({"dim": 32, "heads": 5}, "backbone.heads is 5, wanted .* dim 32"),
        ({"dim": 6, "heads": 2}, "backbone.heads is 2, wanted .* dim 6"),  # heads of 3 have no halves to rotate
        ({"dropout": 1.0}, "backbone.dropout is 1.0, wanted a share from 0 to below 1"),
        ({"attention": "fast"}, "backbone.attention is 'fast', wanted auto, sdpa, block_list, flex"),
        ({"dropout": -0.1}, "backbone.dropout is -0.1, wanted a share from 0 to below 1"),
    ],
)
def test_settings_out_of_range_are_refused_in_one_line(wrong, message):
    with pytest.raises(ValueError, match=message) as refused:
        BackboneSettings(**wrong)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("towers", "message"),
    [
        ({"a": ["text", "image"]}, "backbone.towers names 'speech' 0 times, wanted it in exactly one tower"),
        ({"a": NAMES, "b": ["text"]}, "backbone.towers names 'text' 2 times, wanted it in exactly one tower"),
        ({"a": [*NAMES, "text"]}, "backbone.towers names 'text' 2 times, wanted it in exactly one tower"),
        ({"a": [*NAMES, "video"]}, "backbone.towers names 'video', wanted modalities among image, speech, text"),
    ],
)
def test_towers_that_do_not_part_the_modalities_are_refused_in_one_line(towers, message):
    with pytest.raises(ValueError, match=message) as refused:
        group_towers(towers, NAMES)
    assert "\n" not in str(refused.value)


def test_towers_are_the_same_however_they_are_declared():
    assert group_towers({}, NAMES) == group_towers({}, NAMES[::-1]) == [("image",), ("speech",), ("text",)]
    one = {"a": ["speech", "image"], "b": ["text"]}
    other = {"words": ["text"], "rest": ["image", "speech"]}
    assert group_towers(one, NAMES) == group_towers(other, NAMES) == [("image", "speech"), ("text",)]


def test_no_query_is_left_without_a_key():
    """Padding sees padding: a softmax over nothing would be NaN, and NaN spreads through gradients."""
    number = torch.tensor([[0, 0, 1, -1, -1]])
    position = torch.tensor([[0, 1, 0, -1, -1]])
    blocks = np.array([[0, 2, 0, True], [2, 3, 2, True]])
    mask = attention_mask(Layout(torch.arange(3), (3,), number, position, position, torch.arange(3), blocks))[0, 0]
    assert mask.any(-1).all()
    assert not mask[:3, 3:].any()
    assert mask[:3, :3].tolist() == [[True, False, False], [True, True, False], [False, False, True]]


@pytest.mark.parametrize("default", [torch.float32, torch.bfloat16])
def test_angles_are_places_times_powers_of_the_base_whatever_numbers_are_the_default(default):
    place, e = torch.arange(500), 8
    angle = place.double()[:, None] * 100.0 ** (-2 * torch.arange(e // 2).double() / e) / 3
    torch.set_default_dtype(default)
    try:
        cos, sin = rope(place, e, base=100.0, scaling=3.0)
    finally:
        torch.set_default_dtype(torch.float32)
    assert cos.dtype == sin.dtype == torch.float32
    torch.testing.assert_close(cos.double(), torch.cat([angle.cos()] * 2, 1), rtol=0, atol=2e-5)
    torch.testing.assert_close(sin.double(), torch.cat([-angle.sin(), angle.sin()], 1), rtol=0, atol=2e-5)


def test_rotation_keeps_lengths_and_knows_only_distances():
    torch.manual_seed(0)
    q, k = torch.randn(2, 1, 8)

    def score(i, j):
        (a, b) = (rotate(x, *rope(torch.tensor([place]), 8)) for x, place in ((q, i), (k, j)))
        torch.testing.assert_close(a.norm(), q.norm())
        return (a * b).sum()

    torch.testing.assert_close(score(7, 3), score(104, 100), rtol=1e-4, atol=1e-4)
    assert (score(7, 3) - score(3, 7)).abs() > 1e-3
    torch.testing.assert_close(score(0, 0), (q * k).sum())
