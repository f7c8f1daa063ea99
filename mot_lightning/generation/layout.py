"""How weights lie in memory while tokens are made one by one. Knows linear layers, not what they are for."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn


@contextmanager
def by_input(model: nn.Module) -> Iterator[None]:
    """On the CPU, stores the weights of linear layers input by input while it lasts; shapes and values stay.

    A product with one or a few rows then reads them in order, which is faster. It costs a copy.
    """
    weights = {module.weight for module in model.modules() if isinstance(module, nn.Linear)}
    # a slice of a weight (FSDP) stays as it is
    before = {w: w.data for w in weights if w.device.type == "cpu" and type(w.data) is Tensor}
    try:
        for weight, data in before.items():
            weight.data = data.t().contiguous().t()
        yield
    finally:
        for weight, data in before.items():
            weight.data = data
