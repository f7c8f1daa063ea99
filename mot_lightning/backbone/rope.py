"""Rotary position embedding (RoFormer, arXiv 2104.09864): queries and keys are rotated by the token's position."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def rope(
    position: Int[Tensor, " n"] | Int[Tensor, "n 2"], head_dim: int, base: float = 10_000.0, scaling: float = 1.0
) -> tuple[Float[Tensor, "n e"], Float[Tensor, "n e"]]:
    """Cosine and sine of each token's angles, in float32; the halves of e hold the same angles.

    Args:
        position: of each token, or its row and column, which alternate over the frequencies; if the two are
            equal, the angles are those of one position.
        scaling: positions are divided by it.
    """
    # base to the power of 0, -2 / e, -4 / e, ...
    device, dtype = position.device, torch.float32  # independent of torch's defaults
    frequency = torch.logspace(0, 2 / head_dim - 1, head_dim // 2, base, device=device, dtype=dtype)  # (e/2,)
    if position.dim() == 2:
        position = position.repeat(1, head_dim // 4)  # (n, e/2): row, column, row, ...
    angle = position.view(len(position), -1).to(dtype) / scaling * frequency  # (n, e/2)
    cos, sin = angle.cos(), angle.sin()
    return torch.cat([cos, cos], dim=1), torch.cat([-sin, sin], dim=1)


def grid_position(position: Int[Tensor, " n"], grid: tuple[int, int] | None) -> Int[Tensor, "n 2"]:
    """Positions of complete segments in their documents -> rows and columns, counted from a segment's first position.

    Tokens without a grid have their position as row and as column.
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
