"""Helpers of attention over a packed batch: one dtype of queries, keys and values, and reordering of tokens.

Knows indices, not visibility.
"""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

# tokens are grouped by tower; values have the shape of keys
Queries = Float[Tensor, "N h e"]
Keys = Float[Tensor, "N kv_heads e"]
AttentionFn = Callable[[int, Queries, Keys, Keys], Queries]  # (layer, q, k, v) -> attention output of each token


def one_dtype(*xs: Float[Tensor, "..."]) -> list[Float[Tensor, "..."]]:
    """Queries, keys and values in autocast's dtype, as autocast does not cast the inputs of every kernel."""
    device = xs[0].device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else xs[-1].dtype
    return [x.to(dtype) for x in xs]


def inverse(index: Int[Tensor, " N"]) -> Int[Tensor, " N"]:
    """The permutation that undoes `index`."""
    return torch.empty_like(index).index_copy_(0, index, torch.arange(len(index), device=index.device))


def reorder(
    x: Shaped[Tensor, " N *of_each"], index: Int[Tensor, " N"], inverse_index: Int[Tensor, " N"]
) -> Shaped[Tensor, " N *of_each"]:
    """x[index]. The gradient is gathered by the inverse index, which is faster than a scatter-add."""
    return _Reorder.apply(x, index, inverse_index)


class _Reorder(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, index: Tensor, inverse_index: Tensor) -> Tensor:
        ctx.save_for_backward(index, inverse_index)
        return x.index_select(0, index)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        index, inverse_index = ctx.saved_tensors
        return _Reorder.apply(grad, inverse_index, index), None, None
