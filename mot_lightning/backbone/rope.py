"""Rotary position embedding (RoFormer, arXiv 2104.09864): queries and keys are rotated by the token's position."""

import math
from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mot_lightning.errors import require

Scaling = float | Mapping[str, float | str]
OF_LLAMA3 = ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")


def rope(
    position: Int[Tensor, " n"] | Int[Tensor, "n 2"], head_dim: int, base: float = 10_000.0, scaling: Scaling = 1.0
) -> tuple[Float[Tensor, "n e"], Float[Tensor, "n e"]]:
    """Cosine and sine of each token's angles, in float32; both halves of e hold the same angles.

    The first half of the sine is negated, as `rotate` needs it.

    Args:
        position: of each token, or its row and column. Rows take every other frequency, columns the rest; where both
            are equal, the angles are those of a single position.
        scaling: positions are divided by it; or that of Llama 3.1, as `check_scaling` takes it.
    """
    # base to the power of 0, -2 / e, -4 / e, ...
    device, dtype = position.device, torch.float32  # independent of the default dtype and device
    frequency = torch.logspace(0, 2 / head_dim - 1, head_dim // 2, base, device=device, dtype=dtype)  # (e/2,)
    if position.dim() == 2:
        position = position.repeat(1, head_dim // 4)  # (n, e/2): row, column, row, ...
    if isinstance(scaling, Mapping):
        frequency, scaling = _scaled(frequency, scaling), 1.0
    angle = position.view(len(position), -1).to(dtype) / scaling * frequency  # (n, e/2)
    cos, sin = angle.cos(), angle.sin()
    return torch.cat([cos, cos], dim=1), torch.cat([-sin, sin], dim=1)


def check_scaling(name: str, scaling: Scaling) -> None:
    """Raises ValueError if a scaling is neither a number above 0 nor a mapping of Llama 3.1's four numbers."""
    if not isinstance(scaling, Mapping):
        return require(name, scaling, "above 0", scaling > 0)
    form = f"rope_type: llama3 with {', '.join(OF_LLAMA3[:-1])} and {OF_LLAMA3[-1]}"
    numbers = {key: value for key, value in scaling.items() if isinstance(value, int | float)}
    require(name, scaling, form, {*scaling} == {*OF_LLAMA3, "rope_type"} and {*numbers} == {*OF_LLAMA3})
    require(f"{name}.rope_type", scaling["rope_type"], "llama3", scaling["rope_type"] == "llama3")
    for key, value in numbers.items():
        require(f"{name}.{key}", value, "above 0", value > 0)
    low, high = numbers["low_freq_factor"], numbers["high_freq_factor"]
    return require(f"{name}.high_freq_factor", high, f"above low_freq_factor, {low}", high > low)


def _scaled(frequency: Float[Tensor, " half_e"], scaling: Mapping[str, float | str]) -> Float[Tensor, " half_e"]:
    """Frequencies of Llama 3.1: low ones divided by `factor`, high ones as they are, those between interpolated."""
    factor, low, high, length = (float(scaling[key]) for key in OF_LLAMA3)
    turns = frequency * (length / (2 * math.pi))  # in the context of the first training
    kept = ((turns - low) / (high - low)).clamp(0, 1)
    return frequency * (kept + (1 - kept) / factor)


def grid_position(position: Int[Tensor, " n"], grid: tuple[int, int] | None) -> Int[Tensor, "n 2"]:
    """Document positions of complete segments -> row and column of each token, plus the segment's first position.

    Without a grid, a token's row and column both equal its position.
    """
    if grid is None:
        return position[:, None].expand(-1, 2)
    index = torch.arange(len(position), device=position.device) % (grid[0] * grid[1])
    row, column = index // grid[1], index % grid[1]
    return (position - index)[:, None] + torch.stack([row, column], dim=1)  # (n, 2)


def rotate(
    x: Float[Tensor, "*heads e"], cos: Float[Tensor, "*#heads e"], sin: Float[Tensor, "*#heads e"]
) -> Float[Tensor, "*heads e"]:
    """Rotate each pair (x_i, x_{i + e/2}) of x by the angles of `rope`."""
    return torch.addcmul(x * cos, x.roll(x.shape[-1] // 2, dims=-1), sin).to(x.dtype)
