"""RMS normalisation (arXiv 1910.07467), and its two halves apart: there may be a cheaper place for the gain."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

EPS = 1e-6
EPSILON = torch.tensor(EPS, dtype=torch.float32, device="cpu")  # whatever defaults hold


class RMSNorm(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        return rms_norm(x, self.gain)


def rms_norm(x: Tensor, gain: Tensor | None = None) -> Tensor:
    """x (..., d) over the root mean square of its last axis, times a gain (d,)."""
    if x.is_cuda or torch.compiler.is_compiling():
        return F.rms_norm(x, x.shape[-1:], gain, EPS)  # one kernel there; a dozen passes over memory on the CPU
    if torch.is_grad_enabled():
        return _RMSNorm.apply(x, gain)
    unit = x * inverse_rms(x)
    return unit if gain is None else unit * gain


def inverse_rms(x: Tensor) -> Tensor:
    """What x (..., d) is multiplied by, (..., 1)."""
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    # a number of Python's would be made a tensor, and converted, each time
    return torch.addcmul(EPSILON, length, length, value=1 / x.shape[-1]).rsqrt_()


class _RMSNorm(torch.autograd.Function):
    """The same in half the passes, forward and backward."""

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
        along, d_gain = grad * unit, None
        if gain is None:
            share = along.sum(-1, keepdim=True)  # (..., 1): what would only change the norm
        else:
            d_gain, share = along.flatten(0, -2).sum(0), (along @ gain)[..., None]
            grad = grad * gain
        return torch.addcmul(grad, unit, share.div_(-unit.shape[-1])).mul_(scale), d_gain
