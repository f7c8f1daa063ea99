"""All attention backends agree on a packed batch, and `auto` selects the fastest."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from attentions import EXACT, GRAMMAR, kinds, layout_of, random_layouts, random_qkv, reference_attention, results, seeds
from conftest import make_document, make_model
from hypothesis import given, settings
from hypothesis import strategies as st

from mot_lightning.backbone.attention import PackedAttention, build_attention
from mot_lightning.backbone.attention.blockwise import BlockwiseAttention
from mot_lightning.sequence import pack


@pytest.mark.parametrize("key_heads", [1, 2])
@pytest.mark.parametrize("backend", ["sdpa", "blockwise"])
@random_layouts
@given(kinds, seeds)
def test_backend_matches_reference_forward_and_backward(backend, key_heads, kinds, seed):
    layout = layout_of(kinds, seed)
    tensors, grad = random_qkv(layout, seed, key_heads)
    attend = build_attention(backend, layout, torch.float64)
    ours = results(lambda *qkv: attend(0, *qkv), tensors, grad)
    torch.testing.assert_close(ours, results(lambda *qkv: reference_attention(layout, *qkv), tensors, grad), **EXACT)


@pytest.mark.parametrize("backend", ["sdpa", "blockwise"])
@random_layouts
@given(st.data(), kinds, seeds)
def test_document_order_does_not_change_attention(backend, data, kinds, seed):
    rng = np.random.default_rng(seed)
    documents = [make_document(rng, document) for document in kinds]
    order = data.draw(st.permutations(range(len(documents))))
    gathered = {}
    for places in (range(len(documents)), order):
        layout = pack([documents[i] for i in places], GRAMMAR, 10**4).layout  # one row
        document, position = (x.flatten()[layout.slot].tolist() for x in (layout.document, layout.position))
        keys = [(places[i], p) for i, p in zip(document, position, strict=True)]
        # q, k, v of a token are seeded by its document and place, wherever the document is packed
        qkv = torch.stack([torch.randn(3, 2, 16, generator=torch.Generator().manual_seed(99 * i + p)) for i, p in keys])
        out = build_attention(backend, layout, torch.float64)(0, *qkv.double().unbind(1))
        gathered[tuple(places)] = torch.stack(
            [x for _, x in sorted(zip(keys, out, strict=True), key=lambda pair: pair[0])]
        )
    one, *other = gathered.values()
    for two in other:
        torch.testing.assert_close(one, two, **EXACT)


@pytest.mark.parametrize("backend", ["sdpa", "blockwise"])
@settings(random_layouts, max_examples=50)
@given(kinds, seeds)
def test_bfloat16_matches_reference_within_its_precision(backend, kinds, seed):
    layout = layout_of(kinds, seed)
    tensors, grad = random_qkv(layout, seed, dtype=torch.bfloat16)
    attend = build_attention(backend, layout, torch.bfloat16)
    ours = results(lambda *qkv: attend(0, *qkv), tensors, grad)
    doubles = [x.detach().double().requires_grad_() for x in tensors]
    exact = results(lambda *qkv: reference_attention(layout, *qkv), doubles, grad.double())
    for got, want in zip(ours, exact, strict=True):
        assert got.dtype == torch.bfloat16
        torch.testing.assert_close(got.double(), want, rtol=2e-2, atol=3e-2)


@pytest.mark.parametrize("backend", ["auto", "blockwise", "flex"])
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_losses_are_equal_for_every_backend(backend):
    rng = np.random.default_rng(0)
    documents = [make_document(rng, kinds) for kinds in (["text", "image", "speech"], ["image", "text"], ["speech"])]
    model = make_model()
    batch = pack(documents, model.grammar, 64)
    losses = {}
    for name in ("sdpa", backend):
        model.backbone.settings = replace(model.backbone.settings, attention=name)
        with torch.no_grad():
            losses[name] = model(batch, 0)
    for modality in losses["sdpa"]:
        torch.testing.assert_close(losses[backend][modality].loss, losses["sdpa"][modality].loss, rtol=1e-5, atol=1e-5)


def test_auto_selects_the_backend_by_document_length():
    short, long = layout_of([["text"]] * 9, 0), layout_of([["image"] * 50, ["text"]], 0, 400)
    assert isinstance(build_attention("auto", short, torch.float32), PackedAttention)
    assert isinstance(build_attention("auto", long, torch.float32), BlockwiseAttention)
