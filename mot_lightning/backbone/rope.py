"""Rotary position embedding (RoFormer, arXiv 2104.09864): where a token sits turns its queries and keys."""

import torch
from torch import Tensor


def rope(position: Tensor, head_dim: int, base: float = 10_000.0) -> tuple[Tensor, Tensor]:
    """Cosine and sine of each token's angles, `(n, e)` each, in float32; the halves of e hold the same angles."""
    frequency = base ** (
        -torch.arange(0, head_dim, 2, device=position.device, dtype=torch.float32) / head_dim
    )  # (e/2,)
    angle = (position[:, None].float() * frequency).repeat(1, 2)  # (n, e)
    sign = torch.ones(head_dim, device=position.device)
    sign[: head_dim // 2] = -1
    return angle.cos(), angle.sin() * sign


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn each pair (x_i, x_{i + e/2}) of x (..., e) by the angles that `rope` made."""
    return torch.addcmul(x * cos, x.roll(x.shape[-1] // 2, dims=-1), sin).to(x.dtype)
