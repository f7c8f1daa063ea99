"""Uncompiled FlexAttention matches the reference in the forward pass; its block mask is checked tile by tile."""

import pytest
import torch
from attentions import (
    EXACT,
    GRAMMAR,
    kinds,
    layout_of,
    random_layouts,
    random_qkv,
    reference_attention,
    seeds,
    sequence_mask,
)
from conftest import TOKENS
from hypothesis import given, settings
from hypothesis import strategies as st

from mot_lightning.backbone.attention import build_attention
from mot_lightning.backbone.attention.flex import TILE, FlexAttention, VisibleRanges, block_mask
from mot_lightning.sequence import Grammar, Segment, Tokens, pack


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("key_heads", [1, 2])
@pytest.mark.parametrize("size", [8, 16])  # 8 is below the kernel's minimum head dim
@settings(random_layouts, max_examples=20)
@given(kinds, seeds)
def test_flex_forward_matches_reference(key_heads, size, kinds, seed):
    layout = layout_of(kinds, seed)
    with torch.no_grad():
        tensors, _ = random_qkv(layout, seed, key_heads, size=size)
        gathered = build_attention("flex", layout, torch.float64)(0, *tensors)
        torch.testing.assert_close(gathered, reference_attention(layout, *tensors), **EXACT)


@random_layouts
@given(st.lists(st.tuples(st.integers(1, 300), st.booleans()), min_size=1, max_size=6), seeds)
def test_block_mask_separates_full_partial_and_empty_tiles(runs, seed):
    """Long documents that span many tiles."""
    documents = [
        [Segment("text" if causal else "image", torch.zeros(n, dtype=torch.long) if causal else torch.zeros(n, 3))]
        for n, causal in runs
    ]
    free = Grammar({**TOKENS, "image": Tokens(latent_dim=3)}, GRAMMAR.causal, "text", GRAMMAR.groups)
    layout = pack([documents[0] + documents[-1], *documents[1:]], free, 700).layout
    seen = sequence_mask(layout)
    n = len(seen)
    missing = -n % TILE
    tiles = torch.nn.functional.pad(seen.double(), (0, missing, 0, missing)).unflatten(0, (-1, TILE))
    tiles = tiles.unflatten(2, (-1, TILE)).transpose(1, 2)  # (tiles, tiles, queries, keys)
    queries = torch.minimum(torch.arange(0, n, TILE) + TILE, torch.tensor(n)) - torch.arange(0, n, TILE)
    share = tiles.sum((2, 3)) / (queries[:, None] * TILE)
    mask = FlexAttention(VisibleRanges.of(layout)).mask

    def dense(counts, which):
        listed = torch.zeros_like(share, dtype=torch.bool)
        for i, count in enumerate(counts[0, 0]):
            listed[i, which[0, 0, i, :count].long()] = True
        return listed

    assert torch.equal(dense(mask.full_kv_num_blocks, mask.full_kv_indices), share == 1)
    assert torch.equal(dense(mask.kv_num_blocks, mask.kv_indices), (share > 0) & (share < 1))
    query, key = torch.arange(n)[:, None], torch.arange(n)
    assert torch.equal(mask.mask_mod(0, 0, query, key), seen)


def test_single_tile_block_mask_is_partial():
    mask = block_mask(torch.zeros(3, dtype=torch.long), torch.arange(3))
    assert mask.kv_num_blocks.tolist() == [[[1]]]
    assert mask.full_kv_num_blocks.tolist() == [[[0]]]


def test_flex_training_on_cpu_is_rejected():
    layout = layout_of([["text"]], 0)
    with pytest.raises(
        ValueError, match=r"backbone.attention is flex, wanted auto, sdpa or blockwise to train"
    ) as refused:
        build_attention("flex", layout, torch.float32)
    assert "\n" not in str(refused.value)
