"""Faster linear layers on the CPU, by weights repacked for one row or several rows. Knows layers, not their use."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

COPY = 256  # number of rows after which the time saved exceeds the cost of a copy
MEMORY_BOUND = 32  # up to this number of rows, a product takes as long as reading its weight


@contextmanager
def repacked_weights(model: nn.Module) -> Iterator[None]:
    """In this context, linear layers on the CPU use repacked copies of their weights, up to two of each.

    Copies are made when they pay off, and freed at the end.
    """
    supported = torch.backends.mkldnn.is_available() and not torch.is_autocast_enabled("cpu")
    layers = [module for module in model.modules() if supported and type(module) is nn.Linear and _can_repack(module)]
    for layer in layers:
        layer.forward = _RepackedLinear(layer)  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def _can_repack(layer: nn.Linear) -> bool:
    """Whether its weight is a plain float32 CPU tensor and its forward is unmodified."""
    weight = layer.weight.data
    plain = type(weight) is Tensor and weight.device.type == "cpu" and weight.dtype == torch.float32
    return plain and "forward" not in vars(layer)


class _RepackedLinear:
    """A linear layer with its weight in two memory layouts, each made once enough rows pay off its cost.

    A single row is multiplied with a wide weight in column-major layout, read in long runs. Several rows use oneDNN's
    blocked layout, through private operators of PyTorch, which is faster than the plain product.
    """

    def __init__(self, layer: nn.Linear) -> None:
        self.weight, self.bias = layer.weight, layer.bias
        self.wide = layer.out_features > layer.in_features
        self.columns: Tensor | None = None
        self.blocks: Tensor | None = None
        self.rows = {"columns": 0, "blocks": 0}

    def __call__(self, x: Tensor) -> Tensor:
        rows = x.numel() // x.shape[-1]
        if rows == 1 and self.wide:
            if self.columns is None and self._pays("columns", rows):
                self.columns = self.weight.t().contiguous().t()
            return F.linear(x, self.weight if self.columns is None else self.columns, self.bias)
        if rows > 1:
            if self.blocks is None and self._pays("blocks", rows):
                self.blocks = torch.ops.mkldnn._reorder_linear_weight(self.weight, rows)
            if self.blocks is not None:
                return torch.ops.mkldnn._linear_pointwise(x, self.blocks, self.bias, "none", [], "")
        return F.linear(x, self.weight, self.bias)

    def _pays(self, layout: str, rows: int) -> bool:
        """Count rows; returns whether a copy in this layout now pays off."""
        self.rows[layout] += max(MEMORY_BOUND, rows)
        return self.rows[layout] > COPY
