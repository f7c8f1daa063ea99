"""RMS normalisation (arXiv 1910.07467), and its two halves apart: there may be a cheaper place for the gain."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EPS = 1e-6
EPSILON = torch.tensor(EPS)


class RMSNorm(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        return rms_norm(x) * self.gain


def rms_norm(x: Tensor) -> Tensor:
    """x (..., d) over the root mean square of its last axis."""
    if x.is_cuda or torch.compiler.is_compiling():
        return F.rms_norm(x, x.shape[-1:], eps=EPS)  # one kernel there; a dozen passes over memory on the CPU
    return _RMSNorm.apply(x) if torch.is_grad_enabled() else x * inverse_rms(x)


def inverse_rms(x: Tensor) -> Tensor:
    """What x (..., d) is multiplied by, (..., 1)."""
    square = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_()
    # a number of Python's would be made a tensor, and converted, each time
    return torch.add(EPSILON, square, alpha=1 / x.shape[-1]).rsqrt_()


class _RMSNorm(torch.autograd.Function):
    """The same in half the passes, forward and backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        scale = inverse_rms(x)
        unit = x * scale  # (..., d)
        ctx.save_for_backward(unit, scale)
        return unit

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        unit, scale = ctx.saved_tensors
        along = (grad * unit).mean(-1, keepdim=True)  # (..., 1): what would only change the norm
        return torch.addcmul(grad, unit, along, value=-1).mul_(scale)
