"""Global attention on the CPU without a mask over the batch: block after block of queries, one softmax each.

A bidirectional segment sees its document to its own end, a causal run all that stands before it and itself causally;
both are cut into blocks of queries. Work grows with what is seen, not with what a row could see. So does what the
backward pass needs: up to KEPT numbers are kept for each token, head and layer.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.amp import custom_bwd, custom_fwd
from torch.autograd.function import once_differentiable

from mot_lightning.backbone.ordering import inverse, one_dtype, reorder
from mot_lightning.sequence import Layout

QUERIES = 256  # of a block at most: what it hides from itself is computed all the same, and it has to fit a cache
KEPT = 1024  # keys of a block whose weights are kept for the backward pass; those of longer ones are computed again


@dataclass(frozen=True)
class Block:
    """Queries and the keys that they see: start and number of both. A causal block's own keys are its last."""

    queries: tuple[int, int]
    keys: tuple[int, int]
    causal: bool


def blocks_of(runs: np.ndarray) -> list[Block]:
    """The blocks of a layout's runs."""
    found = []
    for start, end, document, causal in runs.tolist():
        for first in range(start, end, QUERIES):
            last = min(first + QUERIES, end)
            seen = last if causal else end
            found.append(Block((first, last - first), (document, seen - document), bool(causal)))
    return found


class BlockListAttention:
    """`Attend` over the blocks of a layout; half precision is computed in full."""

    def __init__(self, layout: Layout) -> None:
        self.rank, self.place = layout.rank, inverse(layout.rank)
        self.blocks = blocks_of(layout.blocks)

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k, v = one_dtype(q, k, v)
        dtype, queries = v.dtype, q.shape[1] // k.shape[1]
        full = torch.promote_types(dtype, torch.float32)
        q, k, v = (reorder(x.to(full), self.place, self.rank) for x in (q, k, v))
        if queries > 1:  # that share a key
            k, v = (x.repeat_interleave(queries, dim=1) for x in (k, v))
        return reorder(_BlockList.apply(q, k, v, self.blocks), self.rank, self.place).to(dtype)  # (N, h, e)


class _BlockList(torch.autograd.Function):
    """Over the sequence: q, k, v (N, h, e) -> (N, h, e)."""

    @staticmethod
    @custom_fwd(device_type="cpu", cast_inputs=torch.float32)
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, blocks: list[Block]) -> Tensor:
        out, kept = torch.empty_like(q), []
        hidden = q.new_full((QUERIES, QUERIES), -torch.inf).triu_(1)
        q_heads, k_heads, v_heads, out_heads = (x.transpose(0, 1) for x in (q, k, v, out))
        for block in blocks:
            weights = _weights(q_heads, k_heads, block, hidden)  # (h, n, m)
            torch.bmm(weights, v_heads.narrow(1, *block.keys), out=out_heads.narrow(1, *block.queries))
            if block.keys[1] <= KEPT and any(ctx.needs_input_grad):
                kept.append(weights)
        ctx.save_for_backward(q, k, v, hidden, *kept)
        ctx.blocks = blocks
        return out

    @staticmethod
    @once_differentiable
    @custom_bwd(device_type="cpu")
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:  # type: ignore[override]
        q, k, v, hidden, *kept = ctx.saved_tensors
        d_q, d_k, d_v = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v)
        of_weights = iter(kept)
        grad_heads, q_heads, k_heads, v_heads = (x.transpose(0, 1) for x in (grad, q, k, v))
        d_q_heads, d_k_heads, d_v_heads = (x.transpose(0, 1) for x in (d_q, d_k, d_v))
        scale = q.shape[-1] ** -0.5
        for block in ctx.blocks:
            weights = next(of_weights) if block.keys[1] <= KEPT else _weights(q_heads, k_heads, block, hidden)
            queries, d_out = (x.narrow(1, *block.queries) for x in (q_heads, grad_heads))  # (h, n, e)
            keys, values = (x.narrow(1, *block.keys) for x in (k_heads, v_heads))  # (h, m, e)
            d_weights = d_out @ values.mT
            d_scores = torch._softmax_backward_data(d_weights, weights, -1, weights.dtype)  # (h, n, m)
            d_q_heads.narrow(1, *block.queries).baddbmm_(d_scores, keys, beta=0, alpha=scale)
            d_k_heads.narrow(1, *block.keys).baddbmm_(d_scores.mT, queries, alpha=scale)
            d_v_heads.narrow(1, *block.keys).baddbmm_(weights.mT, d_out)
        return d_q, d_k, d_v, None


def _weights(q: Tensor, k: Tensor, block: Block, hidden: Tensor) -> Tensor:
    """q, k (h, N, e) -> softmax of the scaled scores of a block (h, n, m)."""
    queries, keys = q.narrow(1, *block.queries), k.narrow(1, *block.keys)
    scores = torch.baddbmm(q.new_empty(()), queries, keys.mT, beta=0, alpha=q.shape[-1] ** -0.5)
    if block.causal:
        n = block.queries[1]
        scores.narrow(2, block.keys[1] - n, n).add_(hidden[:n, :n])
    return scores.softmax(-1)
