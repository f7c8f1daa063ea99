"""Global attention on the CPU without a mask over the batch: one softmax for each block of queries.

A bidirectional segment attends to its document up to its end, a causal run to all earlier tokens and causally to
itself; both are split into blocks of queries. Time grows with the visible keys, not with the length of a row. So does
memory for the backward pass: up to KEPT weights for each token, head and layer.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor
from torch.amp import custom_bwd, custom_fwd
from torch.autograd.function import once_differentiable

from mot_lightning.backbone.attention.permute import Keys, Queries, inverse, one_dtype, reorder
from mot_lightning.backbone.attention.visibility import Relation
from mot_lightning.sequence import Layout

QUERIES = 256  # maximum per block: scores above the diagonal are computed too, and a block has to fit in CPU cache
KEPT = 1024  # maximum keys of a block whose weights are saved for the backward pass; others are recomputed


@dataclass(frozen=True)
class Block:
    """(start, count) of queries and of the keys visible to them. In a causal block both end at the same token."""

    queries: tuple[int, int]
    keys: tuple[int, int]
    causal: bool


def blocks_of(runs: Int[np.ndarray, "runs 4"]) -> list[Block]:
    """The blocks of a layout's runs."""
    blocks = []
    for start, end, document, causal in runs.tolist():
        for first in range(start, end, QUERIES):
            last = min(first + QUERIES, end)
            visible = last if causal else end
            blocks.append(Block((first, last - first), (document, visible - document), bool(causal)))
    return blocks


class BlockwiseAttention:
    """`AttentionFn` over the blocks of a layout; half precision is computed in float32."""

    def __init__(self, layout: Layout, relation: Relation | None = None) -> None:
        self.to_grouped, self.to_packed = layout.packed_index, inverse(layout.packed_index)
        self.blocks = blocks_of(layout.blocks)
        self.relation = relation and relation.packed(self.to_packed)

    def __call__(self, layer: int, q: Queries, k: Keys, v: Keys) -> Queries:
        q, k, v = one_dtype(q, k, v)
        dtype, queries_per_key = v.dtype, q.shape[1] // k.shape[1]
        compute_dtype = torch.promote_types(dtype, torch.float32)
        q, k, v = (reorder(x.to(compute_dtype), self.to_packed, self.to_grouped) for x in (q, k, v))
        if queries_per_key > 1:
            k, v = (x.repeat_interleave(queries_per_key, dim=1) for x in (k, v))
        return reorder(_Blockwise.apply(q, k, v, self.blocks, self.relation), self.to_grouped, self.to_packed).to(
            dtype
        )  # (N, h, e)


class _Blockwise(torch.autograd.Function):
    """In packed order: q, k, v (N, h, e) -> (N, h, e)."""

    @staticmethod
    @custom_fwd(device_type="cpu", cast_inputs=torch.float32)  # type: ignore[untyped-decorator]
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, blocks: list[Block], relation: Relation | None) -> Tensor:
        out, saved = torch.empty_like(q), []
        causal_mask = q.new_full((QUERIES, QUERIES), -torch.inf).triu_(1)  # (QUERIES, QUERIES)
        q_heads, k_heads, v_heads, out_heads = (x.transpose(0, 1) for x in (q, k, v, out))
        for block in blocks:
            weights = _weights(q_heads, k_heads, block, causal_mask, relation)  # (h, n, m)
            torch.bmm(weights, v_heads.narrow(1, *block.keys), out=out_heads.narrow(1, *block.queries))
            if block.keys[1] <= KEPT and any(ctx.needs_input_grad):
                saved.append(weights)
        ctx.save_for_backward(q, k, v, causal_mask, *saved)
        ctx.blocks, ctx.relation = blocks, relation
        return out

    @staticmethod
    @once_differentiable
    @custom_bwd(device_type="cpu")  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        q, k, v, causal_mask, *saved = ctx.saved_tensors
        d_q, d_k, d_v = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v)
        saved_weights = iter(saved)
        grad_heads, q_heads, k_heads, v_heads = (x.transpose(0, 1) for x in (grad, q, k, v))
        d_q_heads, d_k_heads, d_v_heads = (x.transpose(0, 1) for x in (d_q, d_k, d_v))
        scale = q.shape[-1] ** -0.5
        for block in ctx.blocks:
            saved_here = block.keys[1] <= KEPT
            weights = (
                next(saved_weights) if saved_here else _weights(q_heads, k_heads, block, causal_mask, ctx.relation)
            )
            queries, d_out = (x.narrow(1, *block.queries) for x in (q_heads, grad_heads))  # (h, n, e)
            keys, values = (x.narrow(1, *block.keys) for x in (k_heads, v_heads))  # (h, m, e)
            d_weights = d_out @ values.mT  # (h, n, m)
            d_scores = torch._softmax_backward_data(d_weights, weights, -1, weights.dtype)  # (h, n, m)
            d_q_heads.narrow(1, *block.queries).baddbmm_(d_scores, keys, beta=0, alpha=scale)
            d_k_heads.narrow(1, *block.keys).baddbmm_(d_scores.mT, queries, alpha=scale)
            d_v_heads.narrow(1, *block.keys).baddbmm_(weights.mT, d_out)
        return d_q, d_k, d_v, None, None


def _weights(q: Tensor, k: Tensor, block: Block, causal_mask: Tensor, relation: Relation | None) -> Tensor:
    """q, k (h, N, e) -> softmax of the scaled scores of a block (h, n, m)."""
    queries, keys = q.narrow(1, *block.queries), k.narrow(1, *block.keys)
    scores = torch.baddbmm(q.new_empty(()), queries, keys.mT, beta=0, alpha=q.shape[-1] ** -0.5)
    if block.causal:
        n = block.queries[1]
        scores.narrow(2, block.keys[1] - n, n).add_(causal_mask[:n, :n])
    if relation is not None:
        of_queries, of_keys = (relation.modality.narrow(0, *tokens) for tokens in (block.queries, block.keys))
        scores.masked_fill_(~relation.allowed[of_queries][:, of_keys], -torch.inf)
    return scores.softmax(-1)
