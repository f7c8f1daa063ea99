"""What happens to queries and keys before they meet: QK-norm (arXiv 2302.05442), then rotation by where they stand."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from mot_lightning.backbone.norm import inverse_rms, rms_norm
from mot_lightning.backbone.rope import rotate

Heads = tuple[int, int]  # of queries, and of keys and of values


def norm_and_rotate(
    qkv: Tensor, heads: Heads, gains: Sequence[Tensor], cos: Tensor, sin: Tensor, sizes: Sequence[int]
) -> tuple[Tensor, ...]:
    """Queries and keys, RMS-normalised times their tower's gains, if there are any, and turned by the angles of `rope`.

    Args:
        qkv: (N, h + 2 kv_heads, e).
        heads: h and kv_heads.
        gains: of each tower (2, e), for queries and for keys; none for no norm.
        cos, sin: (N, 1, 1, e).
        sizes: tokens of each tower, in the order of qkv.

    Returns:
        Queries (N, h, e), keys and values (N, kv_heads, e).
    """
    if not gains:
        q, k, v = qkv.split_with_sizes([*heads, heads[1]], dim=1)
        return rotate(q, cos[:, 0], sin[:, 0]), rotate(k, cos[:, 0], sin[:, 0]), v  # (N, h or kv_heads, e)
    by_tower = torch.stack([*gains]) if len(gains) > 1 else gains[0][None]  # (towers, 2, e)
    gain = by_tower  # (N, 2, e), or of one row where all tokens have the same
    if len(sizes) > 1:
        gain = torch.cat([own.expand(n, -1, -1) for own, n in zip(by_tower, sizes, strict=True)])
    gain = gain[:, :, None]  # (N, 2, 1, e)
    if torch.compiler.is_compiling():  # both at once would be a slice, whose gradient is a pass of its own
        *both, v = qkv.split_with_sizes([*heads, heads[1]], dim=1)
        q, k = (rotate(rms_norm(x) * gain[:, i], cos[:, 0], sin[:, 0]) for i, x in enumerate(both))
        return q, k, v  # (N, h or kv_heads, e)
    if torch.is_grad_enabled() and not qkv.is_cuda:
        return _NormAndRotate.apply(qkv, by_tower, gain, cos, sin, heads, sizes)
    groups = zip(_groups(qkv, heads), _gains(gain, heads), strict=True)
    turned = [rotate(rms_norm(x) * own, cos, sin) for x, own in groups]  # (N, g, h, e)
    q, k = turned[0].unbind(1) if len(turned) == 1 else (x[:, 0] for x in turned)
    return q, k, qkv[:, sum(heads) :]


class _NormAndRotate(torch.autograd.Function):
    """The same in half the passes over memory: the gains ride on the angles, and no gradient is joined from parts."""

    @staticmethod
    def forward(
        ctx: Any, qkv: Tensor, gains: Tensor, gain: Tensor, cos: Tensor, sin: Tensor, heads: Heads, sizes: Sequence[int]
    ) -> tuple[Tensor, Tensor, Tensor]:
        turned = qkv.new_empty(len(qkv), sum(heads), qkv.shape[-1])
        half, kept = qkv.shape[-1] // 2, []
        for x, own, out in zip(_groups(qkv, heads), _gains(gain, heads), _groups(turned, heads), strict=True):
            scale = inverse_rms(x)  # (N, g, h, 1)
            unit = x * scale
            torch.addcmul(unit * (cos * own), unit.roll(half, dims=-1), sin * own.roll(half, dims=-1), out=out)
            kept += [unit, scale]
        ctx.save_for_backward(gain, cos, sin, *kept)
        ctx.heads, ctx.sizes = heads, list(sizes)
        return turned[:, : heads[0]], turned[:, heads[0] :], qkv[:, sum(heads) :].contiguous()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_q: Tensor, d_k: Tensor, d_v: Tensor) -> tuple[Tensor | None, ...]:
        gain, cos, sin, *kept = ctx.saved_tensors
        n, e = len(d_q), gain.shape[-1]
        d_qkv = d_v.new_empty(n, sum(ctx.heads) + ctx.heads[1], e)
        d_turned = gain.new_empty(n, sum(ctx.heads), e)  # half precision adds up in full
        d_qkv[:, sum(ctx.heads) :].copy_(d_v)
        for grad, out in zip((d_q, d_k), d_turned.split(ctx.heads, dim=1), strict=True):  # before they were turned
            torch.addcmul((grad * sin[:, 0]).roll(e // 2, dims=-1), grad, cos[:, 0], out=out)
        groups = (_groups(d_turned, ctx.heads), _gains(gain, ctx.heads), kept[::2], kept[1::2])
        d_gains = []
        for d_y, own, unit, scale, out in zip(*groups, _groups(d_qkv, ctx.heads), strict=True):
            along = d_y * unit
            # tokens first, then heads: faster than both at once
            sums = [x.flatten(1).sum(0).view(x.shape[1:]).sum(1) for x in along.split(ctx.sizes)]
            d_gains.append(torch.stack(sums))  # (towers, g, e)
            share = (along.mul_(own) @ along.new_ones(e)).div_(e)[..., None]  # (N, g, h, 1): what only changes the norm
            torch.mul(d_y.mul_(own).sub_(unit * share), scale, out=out)
        return d_qkv, torch.cat(d_gains, dim=1), None, None, None, None, None


def _groups(x: Tensor, heads: Heads) -> list[Tensor]:
    """Queries and keys of x (N, h + kv_heads, ...), views (N, g, h, ...): both at once where they are as many."""
    x = x[:, : sum(heads)]
    return [x.unflatten(1, (2, -1))] if heads[0] == heads[1] else [part[:, None] for part in x.split(heads, dim=1)]


def _gains(x: Tensor, heads: Heads) -> list[Tensor]:
    """Of those groups, from x (n, 2, ...)."""
    return [x] if heads[0] == heads[1] else list(x.split(1, dim=1))
