"""RMS normalisation (arXiv 1910.07467). The gain is optional, as callers may fold it into another product."""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

EPS = 1e-6
EPSILON = torch.tensor(EPS, dtype=torch.float32, device="cpu")  # independent of the default dtype and device


class RMSNorm(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(dim))

    def forward(self, x: Float[Tensor, "*rows d"]) -> Float[Tensor, "*rows d"]:
        return rms_norm(x, self.gain)


def rms_norm(x: Float[Tensor, "*rows d"], gain: Float[Tensor, " d"] | None = None) -> Float[Tensor, "*rows d"]:
    """x over the root mean square of its last axis, times a gain."""
    if x.is_cuda or torch.compiler.is_compiling():
        return F.rms_norm(x, x.shape[-1:], gain, EPS)  # one kernel here, but a dozen passes over memory on the CPU
    if torch.is_grad_enabled():
        return _RMSNorm.apply(x, gain)
    unit = x * inverse_rms(x)
    return unit if gain is None else unit * gain


def inverse_rms(x: Float[Tensor, "*rows d"]) -> Float[Tensor, "*rows 1"]:
    """One over the root mean square of the last axis of x."""
    norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)  # (..., 1)
    # a Python number would be converted to a tensor on each call
    return torch.addcmul(EPSILON, norm, norm, value=1 / x.shape[-1]).rsqrt_()


class _RMSNorm(torch.autograd.Function):
    """`rms_norm` in half as many passes over memory, forward and backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gain: Tensor | None) -> Tensor:
        scale = inverse_rms(x)
        unit = x * scale  # (..., d)
        ctx.save_for_backward(unit, scale, gain)
        return unit if gain is None else unit * gain

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None]:
        unit, scale, gain = ctx.saved_tensors
        product, d_gain = grad * unit, None
        if gain is None:
            radial = product.sum(-1, keepdim=True)  # (..., 1): the gradient along x, which normalisation removes
        else:
            d_gain, radial = product.flatten(0, -2).sum(0), (product @ gain)[..., None]
            grad = grad * gain
        return torch.addcmul(grad, unit, radial.div_(-unit.shape[-1])).mul_(scale), d_gain
