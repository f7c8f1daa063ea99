"""Attention block by block on the CPU, however it cuts."""

import pytest
import torch
from attentions import EXACT, by_definition, drawn, kinds, layout_of, random_layouts, results, seeds
from hypothesis import given, settings

from mot_lightning.backbone.attention import blockwise, build_attention
from mot_lightning.backbone.attention.blockwise import BlockwiseAttention


@pytest.mark.parametrize(("queries", "kept"), [(3, 0), (3, 7), (1, 99)])
@settings(random_layouts, max_examples=50)
@given(kinds, seeds)
def test_blockwise_is_the_definition_however_it_cuts_and_whatever_it_computes_again(queries, kept, kinds, seed):
    layout = layout_of(kinds, seed)
    tensors, grad = drawn(layout, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blockwise, "QUERIES", queries)
        patch.setattr(blockwise, "KEPT", kept)
        attend = BlockwiseAttention(layout)
        ours = results(lambda *qkv: attend(0, *qkv), tensors, grad)
    torch.testing.assert_close(ours, results(lambda *qkv: by_definition(layout, *qkv), tensors, grad), **EXACT)


def test_autocast_brings_mixed_dtypes_to_half_precision():
    layout = layout_of([["text", "image", "speech"], ["image"]], 0)
    (q, k, v), grad = drawn(layout, 0, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        gathered = BlockwiseAttention(layout)(0, q, k, v.bfloat16())
    assert gathered.dtype == torch.bfloat16
    gradients = torch.autograd.grad(gathered, (q, k, v), grad.bfloat16())
    assert all(gradient.dtype == torch.float32 for gradient in gradients)
    torch.testing.assert_close(gathered.float(), by_definition(layout, q, k, v), rtol=2e-2, atol=2e-2)


def test_blockwise_runs_on_the_cpu_only():
    layout = layout_of([["text"]], 0)
    elsewhere = layout._replace(slot=layout.slot.to("meta"))
    with pytest.raises(ValueError, match=r"backbone.attention is blockwise on meta, wanted auto, sdpa or flex"):
        build_attention("blockwise", elsewhere, torch.float32)
