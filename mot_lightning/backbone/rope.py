"""Rotary position embedding (RoFormer, arXiv 2104.09864): queries and keys are rotated by the token's position."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def rope(
    position: Int[Tensor, " n"] | Int[Tensor, "n 2"], head_dim: int, base: float = 10_000.0, scaling: float = 1.0
) -> tuple[Float[Tensor, "n e"], Float[Tensor, "n e"]]:
    """Cosine and sine of each token's angles, in float32; both halves of e hold the same angles.

    The first half of the sine is negated, as `rotate` needs it.

    Args:
        position: of each token, or its row and column. Rows take every other frequency, columns the rest; where both
            are equal, the angles are those of a single position.
        scaling: positions are divided by it.
    """
    # base to the power of 0, -2 / e, -4 / e, ...
    device, dtype = position.device, torch.float32  # independent of the default dtype and device
    frequency = torch.logspace(0, 2 / head_dim - 1, head_dim // 2, base, device=device, dtype=dtype)  # (e/2,)
    if position.dim() == 2:
        position = position.repeat(1, head_dim // 4)  # (n, e/2): row, column, row, ...
    angle = position.view(len(position), -1).to(dtype) / scaling * frequency  # (n, e/2)
    cos, sin = angle.cos(), angle.sin()
    return torch.cat([cos, cos], dim=1), torch.cat([-sin, sin], dim=1)


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
