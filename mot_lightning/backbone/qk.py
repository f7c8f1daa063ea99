"""Queries and keys before attention: QK-norm (arXiv 2302.05442), then rotation by position."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from mot_lightning.backbone.attention.permute import Keys, Queries
from mot_lightning.backbone.norm import EPS, inverse_rms, rms_norm
from mot_lightning.backbone.rope import rotate

Heads = tuple[int, int]  # number of query heads, and of key heads and value heads


def qk_norm_rope(
    qkv: Float[Tensor, "N all_heads e"],
    heads: Heads,
    gains: Sequence[Float[Tensor, "2 e"]],
    cos: Float[Tensor, "N 1 1 e"],
    sin: Float[Tensor, "N 1 1 e"],
    sizes: Sequence[int],
    eps: float = EPS,
) -> tuple[Queries, Keys, Keys]:
    """Queries and keys, RMS-normalised times their tower's gains, if any, and rotated by the angles of `rope`.

    Args:
        qkv: the h + 2 kv_heads heads of each token.
        heads: h and kv_heads.
        gains: of each tower, for queries and for keys; empty without QK-norm.
        cos, sin: as returned by `rope`.
        sizes: tokens of each tower, in the order of qkv.
        eps: of the normalisation.

    Returns:
        Queries, keys and values.
    """
    if not gains:
        q, k, v = qkv.split_with_sizes([*heads, heads[1]], dim=1)
        return rotate(q, cos[:, 0], sin[:, 0]), rotate(k, cos[:, 0], sin[:, 0]), v  # (N, h or kv_heads, e)
    by_tower = torch.stack([*gains]) if len(gains) > 1 else gains[0][None]  # (towers, 2, e)
    gain = by_tower  # (N, 2, e), or (1, 2, e) for one tower
    if len(sizes) > 1:
        gain = torch.cat([tower_gain.expand(n, -1, -1) for tower_gain, n in zip(by_tower, sizes, strict=True)])
    gain = gain[:, :, None]  # (N, 2, 1, e)
    if torch.compiler.is_compiling():  # slicing both at once would cost another pass in backward
        *both, v = qkv.split_with_sizes([*heads, heads[1]], dim=1)
        q, k = (rotate(rms_norm(x, eps=eps) * gain[:, i], cos[:, 0], sin[:, 0]) for i, x in enumerate(both))
        return q, k, v  # (N, h or kv_heads, e)
    if torch.is_grad_enabled() and not qkv.is_cuda:
        return _QKNormRope.apply(qkv, by_tower, gain, cos, sin, heads, sizes, eps)
    groups = zip(_groups(qkv, heads), _gains(gain, heads), strict=True)
    rotated = [rotate(rms_norm(x, eps=eps) * group_gain, cos, sin) for x, group_gain in groups]  # (N, g, h, e)
    q, k = rotated[0].unbind(1) if len(rotated) == 1 else (x[:, 0] for x in rotated)
    return q, k, qkv[:, sum(heads) :]


class _QKNormRope(torch.autograd.Function):
    """`qk_norm_rope` in half as many passes over memory.

    Gains are folded into cos and sin, and no gradient is concatenated.
    """

    @staticmethod
    def forward(
        ctx: Any,
        qkv: Tensor,
        gains: Tensor,
        gain: Tensor,
        cos: Tensor,
        sin: Tensor,
        heads: Heads,
        sizes: Sequence[int],
        eps: float,
    ) -> tuple[Tensor, Tensor, Tensor]:
        rotated = qkv.new_empty(len(qkv), sum(heads), qkv.shape[-1])
        half, saved = qkv.shape[-1] // 2, []
        for x, group_gain, out in zip(_groups(qkv, heads), _gains(gain, heads), _groups(rotated, heads), strict=True):
            scale = inverse_rms(x, eps)  # (N, g, h, 1)
            unit = x * scale
            cos_gain, sin_gain = cos * group_gain, sin * group_gain.roll(half, dims=-1)
            torch.addcmul(unit * cos_gain, unit.roll(half, dims=-1), sin_gain, out=out)
            saved += [unit, scale]
        ctx.save_for_backward(gain, cos, sin, *saved)
        ctx.heads, ctx.sizes = heads, list(sizes)
        return rotated[:, : heads[0]], rotated[:, heads[0] :], qkv[:, sum(heads) :].contiguous()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_q: Tensor, d_k: Tensor, d_v: Tensor) -> tuple[Tensor | None, ...]:
        gain, cos, sin, *saved = ctx.saved_tensors
        n, e = len(d_q), gain.shape[-1]
        d_qkv = d_v.new_empty(n, sum(ctx.heads) + ctx.heads[1], e)
        d_rotated = gain.new_empty(n, sum(ctx.heads), e)  # sums in float32 for half precision
        d_qkv[:, sum(ctx.heads) :].copy_(d_v)
        for grad, out in zip((d_q, d_k), d_rotated.split(ctx.heads, dim=1), strict=True):  # rotated back
            torch.addcmul((grad * sin[:, 0]).roll(e // 2, dims=-1), grad, cos[:, 0], out=out)
        groups = (_groups(d_rotated, ctx.heads), _gains(gain, ctx.heads), saved[::2], saved[1::2])
        d_gains = []
        for d_y, group_gain, unit, scale, out in zip(*groups, _groups(d_qkv, ctx.heads), strict=True):
            product = d_y * unit
            # tokens first, then heads: faster than both at once
            sums = [x.flatten(1).sum(0).view(x.shape[1:]).sum(1) for x in product.split(ctx.sizes)]
            d_gains.append(torch.stack(sums))  # (towers, g, e)
            # (N, g, h, 1): the gradient along x, which normalisation removes
            radial = (product.mul_(group_gain) @ product.new_ones(e)).div_(e)[..., None]
            torch.mul(d_y.mul_(group_gain).sub_(unit * radial), scale, out=out)
        return d_qkv, torch.cat(d_gains, dim=1), *[None] * 6


def _groups(x: Tensor, heads: Heads) -> list[Tensor]:
    """Views (N, g, h, ...) of the queries and keys of x (N, h + kv_heads, ...): one view if h = kv_heads, else two."""
    x = x[:, : sum(heads)]
    return [x.unflatten(1, (2, -1))] if heads[0] == heads[1] else [part[:, None] for part in x.split(heads, dim=1)]


def _gains(x: Tensor, heads: Heads) -> list[Tensor]:
    """The gains of the groups of `_groups`, from x (n, 2, ...)."""
    return [x] if heads[0] == heads[1] else list(x.split(1, dim=1))
