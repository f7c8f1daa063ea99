"""How weights lie in memory while tokens are made. Knows linear layers, not what they are for."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

COPY = 256  # rows whose products save about what a copy of the weight costs
FEW = 32  # up to so many rows only wait for the weight: they count as many


@contextmanager
def by_use(model: nn.Module) -> Iterator[None]:
    """On the CPU, linear layers read copies of their weights that lie as each product wants them, while it lasts.

    It takes room for up to two copies of each weight.
    """
    kernels = torch.backends.mkldnn.is_available() and not torch.is_autocast_enabled("cpu")
    layers = [module for module in model.modules() if kernels and type(module) is nn.Linear and _plain(module)]
    for layer in layers:
        layer.forward = _Copies(layer)  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def _plain(layer: nn.Linear) -> bool:
    """Whether it is nothing but a product with a whole weight in memory."""
    weight = layer.weight.data
    whole = type(weight) is Tensor and weight.device.type == "cpu" and weight.dtype == torch.float32
    return whole and "forward" not in vars(layer)


class _Copies:
    """A linear layer with its weight in two orders, each made once it has been asked for often enough to pay.

    One row reads a wide weight input by input, in long runs; several take oneDNN's blocks, under PyTorch's private
    names, faster than the plain product.
    """

    def __init__(self, layer: nn.Linear) -> None:
        self.weight, self.bias = layer.weight, layer.bias
        self.wide = layer.out_features > layer.in_features
        self.columns: Tensor | None = None
        self.blocks: Tensor | None = None
        self.saved = {"columns": 0, "blocks": 0}

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

    def _pays(self, order: str, rows: int) -> bool:
        """Whether enough rows have come by for a copy."""
        self.saved[order] += max(FEW, rows)
        return self.saved[order] > COPY
