"""Arrays in memory, of NumPy or torch, and whether their values are in range."""

from collections.abc import Callable, Mapping
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


def check_range(
    name: str, values: Array, low: int, high: int, rescaled: Mapping[str, Callable[[float, float], bool]] | None = None
) -> None:
    """Raises ValueError unless all values are finite and from `low` to `high`.

    Args:
        rescaled: whether a least and a highest value are of another usual range, by the formula that leads from it to
            this one; the error names one that fits.
    """
    if not np.isfinite(values).all():
        raise ValueError(f"{name} has values that are NaN or infinite, wanted {low} to {high}")
    least, most = (values.min(), values.max()) if values.size else (low, high)
    if not low <= least <= most <= high:
        formulas = [formula for formula, is_usual in (rescaled or {}).items() if is_usual(least, most)]
        hint = f", did you mean {formulas[0]}?" if formulas else ""
        raise ValueError(f"{name} has values from {least:g} to {most:g}, wanted {low} to {high}{hint}")
