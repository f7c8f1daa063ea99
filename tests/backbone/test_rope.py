"""Angles of the rotary embedding, and invariants of the rotation."""

import pytest
import torch
from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from mot_lightning.backbone.rope import grid_position, rope, rotate


@pytest.mark.parametrize("default", [torch.float32, torch.bfloat16])
def test_rope_angles_match_the_formula_for_any_default_dtype(default):
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


@pytest.mark.parametrize("factor", [8.0, 32.0])
def test_scaling_of_llama_3_equals_that_of_transformers(factor):
    scaling = {"rope_type": "llama3", "factor": factor, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    scaling["original_max_position_embeddings"] = 8192
    config = LlamaConfig(
        hidden_size=256, num_attention_heads=4, rope_theta=5e5, rope_scaling=scaling, max_position_embeddings=131_072
    )
    frequency, _ = ROPE_INIT_FUNCTIONS["llama3"](config, "cpu")
    one = torch.tensor([1])
    for angles, function in zip(rope(one, 64, 5e5, scaling), (torch.cos, torch.sin), strict=True):
        torch.testing.assert_close(angles[0, 32:], function(frequency), rtol=1e-6, atol=1e-7)
    plain = rope(one, 64, 5e5)[1][0, 32:]
    differs = (rope(one, 64, 5e5, scaling)[1][0, 32:] - plain).abs() > 1e-9
    assert differs[-1]
    assert not differs[0]


def test_rotation_preserves_norms_and_depends_on_relative_positions():
    torch.manual_seed(0)
    q, k = torch.randn(2, 1, 8)

    def score(i, j):
        (a, b) = (rotate(x, *rope(torch.tensor([place]), 8)) for x, place in ((q, i), (k, j)))
        torch.testing.assert_close(a.norm(), q.norm())
        return (a * b).sum()

    torch.testing.assert_close(score(7, 3), score(104, 100), rtol=1e-4, atol=1e-4)
    assert (score(7, 3) - score(3, 7)).abs() > 1e-3
    torch.testing.assert_close(score(0, 0), (q * k).sum())


def test_2d_rope_uses_rows_and_columns_and_equals_1d_without_a_grid():
    position = torch.arange(3, 9)
    assert grid_position(position, (2, 3)).tolist() == [[3, 3], [3, 4], [3, 5], [4, 3], [4, 4], [4, 5]]
    for one, two in zip(rope(position, 8), rope(grid_position(position, None), 8), strict=True):
        assert torch.equal(one, two)
    # a query-key product depends only on the row and column distances
    q, k = torch.randn(2, 1, 8, generator=torch.Generator().manual_seed(0)).unbind(0)

    def product(a, b):
        rotated = [rotate(x, *rope(torch.tensor([place]), 8)) for x, place in ((q, a), (k, b))]
        return (rotated[0] * rotated[1]).sum()

    torch.testing.assert_close(product([5, 9], [3, 8]), product([12, 11], [10, 10]))
    assert (product([5, 9], [3, 8]) - product([5, 9], [4, 7])).abs() > 1e-3
