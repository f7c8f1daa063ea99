"""Whether the weights of a backbone fit the machine's memory, before they are allocated.

The system grants more memory than there is, and ends a process, or stalls the machine, when it is used.
"""

import os
from collections.abc import Callable

import torch
from torch import nn

from mot_lightning.backbone.settings import BackboneSettings


def check_memory(settings: BackboneSettings, layer: Callable[[], nn.Module]) -> None:
    """Raises ValueError if `depth` layers cannot be allocated in the memory of the CPU.

    Args:
        layer: builds the first layer; called without allocating its weights.
    """
    if torch.get_default_device().type != "cpu":  # weights of "meta" take no memory, and CUDA says what it lacks
        return
    try:
        with torch.device("meta"):
            weights = settings.depth * sum(weight.numel() for weight in layer().parameters())
    except RuntimeError as error:
        _refuse(settings, f"more numbers than memory can address ({str(error).splitlines()[0][:80]})")
    else:
        size, memory = weights * torch.get_default_dtype().itemsize, machine_memory()
        if size > memory:
            _refuse(settings, f"{size / 1e9:,.0f} GB, wanted at most the machine's {memory / 1e9:,.0f} GB")


def machine_memory() -> int:
    """Bytes of memory of the machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _refuse(settings: BackboneSettings, need: str) -> None:
    sizes = f"dim {settings.dim}, depth {settings.depth}, ffn_dim {settings.hidden}"
    raise ValueError(f"backbone is {sizes}: cannot allocate its weights of {need}")
