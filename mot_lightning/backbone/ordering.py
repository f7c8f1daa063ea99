"""What every attention over a packed batch does around its softmax: one dtype, and another order of tokens and back.

Knows indices; leaves who sees whom to the attentions.
"""

from typing import Any

import torch
from torch import Tensor


def one_dtype(*xs: Tensor) -> list[Tensor]:
    """Queries, keys and values as autocast would have them, which does not know every kernel."""
    device = xs[0].device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else xs[-1].dtype
    return [x.to(dtype) for x in xs]


def inverse(index: Tensor) -> Tensor:
    """The permutation that undoes `index` (N,)."""
    return torch.empty_like(index).index_copy_(0, index, torch.arange(len(index), device=index.device))


def reorder(x: Tensor, there: Tensor, back: Tensor) -> Tensor:
    """x[there], whose gradient comes by `back`: reading is faster than adding to where it was read."""
    return _Reorder.apply(x, there, back)


class _Reorder(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, there: Tensor, back: Tensor) -> Tensor:
        ctx.save_for_backward(there, back)
        return x.index_select(0, there)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        there, back = ctx.saved_tensors
        return _Reorder.apply(grad, back, there), None, None
