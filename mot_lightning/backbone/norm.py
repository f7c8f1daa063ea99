"""RMS normalisation (arXiv 1910.07467). The gain is optional, as callers may fold it into another product."""

from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

EPS = 1e-6


class RMSNorm(nn.Module):
    def __init__(self, dim: int, eps: float = EPS) -> None:
        super().__init__()
        self.eps = eps
        self.gain = nn.Parameter(torch.ones(dim))

    def forward(self, x: Float[Tensor, "*rows d"]) -> Float[Tensor, "*rows d"]:
        return rms_norm(x, self.gain, self.eps)


def rms_norm(
    x: Float[Tensor, "*rows d"], gain: Float[Tensor, " d"] | None = None, eps: float = EPS
) -> Float[Tensor, "*rows d"]:
    """x over the root mean square of its last axis, times a gain; eps is added to the mean square."""
    if x.is_cuda or torch.compiler.is_compiling():
        return F.rms_norm(x, x.shape[-1:], gain, eps)  # one kernel here, but a dozen passes over memory on the CPU
    if torch.is_grad_enabled():
        return _RMSNorm.apply(x, gain, eps)
    unit = x * inverse_rms(x, eps)
    return unit if gain is None else unit * gain


def inverse_rms(x: Float[Tensor, "*rows d"], eps: float = EPS) -> Float[Tensor, "*rows 1"]:
    """One over the root mean square of the last axis of x."""
    norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)  # (..., 1)
    return torch.addcmul(_tensor(eps), norm, norm, value=1 / x.shape[-1]).rsqrt_()


@cache
def _tensor(eps: float) -> Tensor:
    """A number that would else be converted on each call; independent of the default dtype, device and mode."""
    with torch.inference_mode(False):
        return torch.tensor(eps, dtype=torch.float32, device="cpu")


class _RMSNorm(torch.autograd.Function):
    """`rms_norm` in half as many passes over memory, forward and backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gain: Tensor | None, eps: float) -> Tensor:
        scale = inverse_rms(x, eps)
        unit = x * scale  # (..., d)
        ctx.save_for_backward(unit, scale, gain)
        return unit if gain is None else unit * gain

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None, None]:
        unit, scale, gain = ctx.saved_tensors
        product, d_gain = grad * unit, None
        if gain is None:
            radial = product.sum(-1, keepdim=True)  # (..., 1): the gradient along x, which normalisation removes
        else:
            d_gain, radial = product.flatten(0, -2).sum(0), (product @ gain)[..., None]
            grad = grad * gain
        return torch.addcmul(grad, unit, radial.div_(-unit.shape[-1])).mul_(scale), d_gain, None
