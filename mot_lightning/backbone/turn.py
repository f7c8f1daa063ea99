"""What happens to queries and keys before they meet: QK-norm (arXiv 2302.05442), then rotation by where they stand."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from mot_lightning.backbone.norm import inverse_rms, rms_norm
from mot_lightning.backbone.rope import rotate


def norm_and_rotate(x: Tensor, gains: Tensor, cos: Tensor, sin: Tensor, sizes: Sequence[int]) -> Tensor:
    """x (N, g, h, e), RMS-normalised, times its tower's gains, turned by the angles that `rope` made (N, e).

    Args:
        gains: (towers, g, e).
        sizes: tokens of each tower, in the order of x.
    """
    gain = gains  # (N, g, e), or of one row where all tokens have the same
    if len(sizes) > 1:
        gain = torch.cat([own.expand(n, -1, -1) for own, n in zip(gains, sizes, strict=True)])
    gain = gain[:, :, None]  # (N, g, 1, e)
    cos, sin = (angle.view(len(angle), 1, 1, -1) for angle in (cos, sin))  # (N, 1, 1, e)
    if x.is_cuda or not torch.is_grad_enabled():
        return rotate(rms_norm(x) * gain, cos, sin)
    return _NormAndRotate.apply(x, gains, gain, cos, sin, sizes)


class _NormAndRotate(torch.autograd.Function):
    """The same in half the passes over memory: the gains ride on the angles, and nothing is remembered twice."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, gains: Tensor, gain: Tensor, cos: Tensor, sin: Tensor, sizes: Sequence[int]
    ) -> Tensor:
        scale = inverse_rms(x)  # (N, g, h, 1)
        unit = x * scale
        ctx.save_for_backward(unit, scale, gains, gain, cos, sin)
        ctx.sizes = sizes
        return rotate(unit, cos * gain, sin * gain.roll(gain.shape[-1] // 2, dims=-1))  # (N, g, h, e)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        unit, scale, gains, gain, cos, sin = ctx.saved_tensors
        half = unit.shape[-1] // 2
        d_y = (grad * sin).roll(half, dims=-1).addcmul_(grad, cos)  # of the normalised, before it was turned
        along = d_y * unit
        parts = along.split(list(ctx.sizes))
        # tokens first, then heads: faster than both at once
        d_gains = torch.stack([part.flatten(1).sum(0).view(part.shape[1:]).sum(1) for part in parts])  # (towers, g, e)
        share = torch.cat([_products(part, own) for part, own in zip(parts, gains, strict=True)])  # (N, g, h, 1)
        d_x = d_y.mul_(gain).addcmul_(unit, share.div_(-unit.shape[-1])).mul_(scale)  # as in _RMSNorm
        return d_x, d_gains, None, None, None, None


def _products(x: Tensor, gains: Tensor) -> Tensor:
    """x (n, g, h, e) times gains (g, e), summed over e: (n, g, h, 1)."""
    return torch.stack([own @ gain for own, gain in zip(x.unbind(1), gains, strict=True)], dim=1)[..., None]
