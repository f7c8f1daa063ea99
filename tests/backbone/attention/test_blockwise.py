"""Blockwise attention on the CPU, for any block size."""

import pytest
import torch
from attentions import EXACT, kinds, layout_of, random_layouts, random_qkv, reference_attention, results, seeds
from hypothesis import given, settings

from mot_lightning.backbone.attention import blockwise, build_attention
from mot_lightning.backbone.attention.blockwise import BlockwiseAttention


@pytest.mark.parametrize(("queries", "kept"), [(3, 0), (3, 7), (1, 99)])
@settings(random_layouts, max_examples=50)
@given(kinds, seeds)
def test_blockwise_matches_reference_for_any_block_size_and_recomputation(queries, kept, kinds, seed):
    layout = layout_of(kinds, seed)
    tensors, grad = random_qkv(layout, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blockwise, "QUERIES", queries)
        patch.setattr(blockwise, "KEPT", kept)
        attend = BlockwiseAttention(layout)
        ours = results(lambda *qkv: attend(0, *qkv), tensors, grad)
    torch.testing.assert_close(ours, results(lambda *qkv: reference_attention(layout, *qkv), tensors, grad), **EXACT)


def test_autocast_casts_mixed_dtypes_to_bfloat16():
    layout = layout_of([["text", "image", "speech"], ["image"]], 0)
    (q, k, v), grad = random_qkv(layout, 0, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        gathered = BlockwiseAttention(layout)(0, q, k, v.bfloat16())
    assert gathered.dtype == torch.bfloat16
    gradients = torch.autograd.grad(gathered, (q, k, v), grad.bfloat16())
    assert all(gradient.dtype == torch.float32 for gradient in gradients)
    torch.testing.assert_close(gathered.float(), reference_attention(layout, q, k, v), rtol=2e-2, atol=2e-2)


def test_blockwise_is_rejected_off_cpu():
    layout = layout_of([["text"]], 0)
    meta_layout = layout._replace(slot=layout.slot.to("meta"))
    with pytest.raises(ValueError, match=r"backbone.attention is blockwise on meta, wanted auto, sdpa or flex"):
        build_attention("blockwise", meta_layout, torch.float32)
