"""Rotary position embedding (RoFormer, arXiv 2104.09864): where a token sits turns its queries and keys."""

import torch
from torch import Tensor


def rope(position: Tensor, head_dim: int, base: float = 10_000.0, scaling: float = 1.0) -> tuple[Tensor, Tensor]:
    """Cosine and sine of each token's angles, `(n, e)` each, in float32; the halves of e hold the same angles.

    Args:
        position: (n,), or (n, 2) for row and column, which take turns among the frequencies; where the two are
            equal, nothing tells them from one position.
        scaling: positions are divided by it.
    """
    # base to the power of 0, -2 / e, -4 / e, ...
    device, dtype = position.device, torch.float32  # whatever defaults hold
    frequency = torch.logspace(0, 2 / head_dim - 1, head_dim // 2, base, device=device, dtype=dtype)  # (e/2,)
    if position.dim() == 2:
        position = position.repeat(1, head_dim // 4)  # (n, e/2): row, column, row, ...
    angle = position.view(len(position), -1).to(dtype) / scaling * frequency  # (n, e/2)
    cos, sin = angle.cos(), angle.sin()
    return torch.cat([cos, cos], dim=1), torch.cat([-sin, sin], dim=1)


def grid_position(position: Tensor, grid: tuple[int, int] | None) -> Tensor:
    """(n,) places of whole segments in their documents -> (n, 2) rows and columns, counted from a segment's first.

    Tokens on no grid stand on the diagonal, where row and column are their place.
    """
    if grid is None:
        return position[:, None].expand(-1, 2)
    place = torch.arange(len(position), device=position.device) % (grid[0] * grid[1])
    row, column = place // grid[1], place % grid[1]
    return (position - place)[:, None] + torch.stack([row, column], dim=1)  # (n, 2)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn each pair (x_i, x_{i + e/2}) of x (..., e) by the angles that `rope` made."""
    return torch.addcmul(x * cos, x.roll(x.shape[-1] // 2, dims=-1), sin).to(x.dtype)
