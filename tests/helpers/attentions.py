"""Random packed layouts, and a reference implementation of attention over them."""

import numpy as np
import torch
from conftest import TOKENS, make_document
from hypothesis import settings
from hypothesis import strategies as st

from mot_lightning.backbone.attention import attention_mask
from mot_lightning.sequence import Grammar, pack

GRAMMAR = Grammar(TOKENS, {"text": True, "image": False, "speech": True}, "text", ("image", "speech", "text"))
EXACT = {"rtol": 1e-10, "atol": 1e-10}

random_layouts = settings(max_examples=100, deadline=None, derandomize=True)
kinds = st.lists(st.lists(st.sampled_from(["text", "image", "speech"]), max_size=4), min_size=1, max_size=6)
seeds = st.integers(0, 99)


def layout_of(kinds, seed, row_length=64):
    rng = np.random.default_rng(seed)
    return pack([make_document(rng, document) for document in kinds], GRAMMAR, row_length).layout


def random_qkv(layout, seed, key_heads=2, dtype=torch.float64, size=16):
    """Random queries of two heads, keys, values, and an output gradient."""
    generator = torch.Generator().manual_seed(seed)
    shapes = [(len(layout.slot), heads, size) for heads in (2, key_heads, key_heads, 2)]
    q, k, v, grad = (torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for shape in shapes)
    return [x.requires_grad_() for x in (q, k, v)], grad


def sequence_mask(layout):
    """(N, N) bool attention mask in sequence order, from the mask over the rows."""
    rows = torch.block_diag(*attention_mask(layout)[:, 0].double()).bool()  # (b s, b s)
    slots = layout.slot.sort().values
    return rows[slots[:, None], slots]


def reference_attention(layout, q, k, v):
    """Reference: masked softmax attention over the whole sequence."""
    seen = sequence_mask(layout)[layout.packed_index[:, None], layout.packed_index]  # (N, N)
    k, v = (x.repeat_interleave(q.shape[1] // k.shape[1], dim=1) for x in (k, v))
    scores = torch.einsum("qhe,khe->hqk", q, k) * q.shape[-1] ** -0.5
    return torch.einsum("hqk,khe->qhe", scores.masked_fill(~seen, -torch.inf).softmax(-1), v)


def results(attend, tensors, grad):
    out = attend(*tensors)
    return out, *torch.autograd.grad(out, tensors, grad)
