"""Arrays in memory, of NumPy or torch, and whether their values are in range."""

from typing import Any

import numpy as np
from torch import Tensor

Array = np.ndarray[Any, np.dtype[Any]]


def as_array(media: Array | Tensor) -> Array:
    """A NumPy array on the host; all floats become float32."""
    if isinstance(media, Tensor):
        media = media.detach().cpu()
        media = (media.float() if media.is_floating_point() else media).numpy()
    return media.astype(np.float32) if np.issubdtype(media.dtype, np.floating) else media


def check_range(name: str, values: Array, low: int, high: int) -> None:
    """Raises ValueError unless all values are finite and from `low` to `high`."""
    if not np.isfinite(values).all():
        raise ValueError(f"{name} has values that are NaN or infinite, wanted {low} to {high}")
    if values.size and not low <= values.min() <= values.max() <= high:
        raise ValueError(f"{name} has values from {values.min():g} to {values.max():g}, wanted {low} to {high}")
