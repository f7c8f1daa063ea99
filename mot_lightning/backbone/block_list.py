"""Global attention on the CPU without a mask: each run of a document makes one or two calls of the flash kernel.

A bidirectional segment sees its document to its own end: one call. A causal run sees itself causally and all that
stands before it whole: two calls, merged exactly by their log-sum-exps (FlashAttention-2, arXiv 2307.08691, sec. 2.3).
Work grows with what is seen, not with what a row could see. The kernel is PyTorch's own, under a private name.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from mot_lightning.backbone.ordering import inverse, one_dtype, reorder
from mot_lightning.sequence import Layout

flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default
flash_backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward.default

Calls = list[tuple[slice, list[tuple[slice, bool]]]]  # queries -> keys, and whether they are seen causally


def calls(blocks: np.ndarray) -> Calls:
    """What each run calls: one or two ranges of keys."""
    found: Calls = []
    for start, end, document, causal in blocks.tolist():
        own = slice(start if causal else document, end)
        before = [(slice(document, start), False)] if causal and document < start else []
        found.append((slice(start, end), [(own, bool(causal)), *before]))
    return found


class BlockListAttention:
    """`Attend` of the runs in a layout; float64, float32 or bfloat16."""

    def __init__(self, layout: Layout) -> None:
        self.rank, self.place = layout.rank, inverse(layout.rank)
        self.calls = calls(layout.blocks)

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k, v = (reorder(x, self.place, self.rank) for x in one_dtype(q, k, v))
        queries = q.shape[1] // k.shape[1]
        if queries > 1:  # that share a key
            k, v = (x.repeat_interleave(queries, dim=1) for x in (k, v))
        return reorder(_BlockList.apply(q, k, v, self.calls), self.rank, self.place)  # (N, h, e)


class _BlockList(torch.autograd.Function):
    """Over the sequence: q, k, v (N, h, e) -> (N, h, e)."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, calls: Calls) -> Tensor:
        out, sums = torch.empty_like(q), []
        q_heads, k_heads, v_heads, out_heads = (_heads(x) for x in (q, k, v, out))
        for run, ranges in calls:
            parts = [
                flash(_part(q_heads, run), _part(k_heads, keys), _part(v_heads, keys), 0.0, causal)
                for keys, causal in ranges
            ]
            x, total = parts[0]  # (1, h, n, e), (1, h, n)
            for y, other in parts[1:]:
                share = torch.sigmoid(other - total)[..., None]
                x = torch.lerp(x.to(share.dtype), y.to(share.dtype), share)  # rounded once, at the end
                total = torch.logaddexp(total, other)
            _part(out_heads, run).copy_(x)
            sums.append(total)
        ctx.save_for_backward(q, k, v, out, *sums)
        ctx.calls = calls
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        q, k, v, out, *sums = ctx.saved_tensors
        # a part's backward is exact, given the output and the log-sum-exp of the whole; half precision adds up in full
        sums_of = [torch.zeros_like(x, dtype=sums[0].dtype) for x in (q, k, v)]
        wholes = [_heads(x) for x in sums_of]
        grad_heads, q_heads, k_heads, v_heads, out_heads = (_heads(x) for x in (grad, q, k, v, out))
        for (run, ranges), total in zip(ctx.calls, sums, strict=True):
            d_out, queries, o = (_part(x, run) for x in (grad_heads, q_heads, out_heads))
            for keys, causal in ranges:
                found = flash_backward(
                    d_out, queries, _part(k_heads, keys), _part(v_heads, keys), o, total, 0.0, causal
                )  # (1, h, n, e), (1, h, m, e) twice
                for whole, place, part in zip(wholes, (run, keys, keys), found, strict=True):
                    _part(whole, place).add_(part)
        d_q, d_k, d_v = (whole.to(q.dtype) for whole in sums_of)
        return d_q, d_k, d_v, None


def _heads(x: Tensor) -> Tensor:
    """x (N, h, e) as the kernel wants it: a view (1, h, N, e)."""
    return x.transpose(0, 1)[None]


def _part(x: Tensor, place: slice) -> Tensor:
    """Some tokens of (1, h, N, e): a view (1, h, n, e)."""
    return x.narrow(2, place.start, place.stop - place.start)
