"""Attention in two halves: each tower's own projections, and the one softmax over the whole sequence.

Knows layouts, not modalities: `Attend` is what joins the towers, and generation brings another with a KV cache.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mot_lightning.backbone.mask import attention_mask
from mot_lightning.sequence import Layout

# (layer, q, k, v) -> what each token gathered; all (N, h, e), grouped by tower
Attend = Callable[[int, Tensor, Tensor, Tensor], Tensor]


class Projections(nn.Module):
    """One tower's W_Q, W_K, W_V (in one matrix) and W_O (MoT, eq. 2), and the gains of its QK-norm."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.output = nn.Linear(dim, dim, bias=False)
        self.query_norm = nn.Parameter(torch.ones(dim // heads))
        self.key_norm = nn.Parameter(torch.ones(dim // heads))

    def forward(self, x: Tensor) -> Tensor:
        """Queries, keys and values (n, 3, h, e)."""
        return self.qkv(x).view(len(x), 3, self.heads, x.shape[-1] // self.heads)

    def gains(self) -> Tensor:
        """Of queries and of keys, (2, e)."""
        return torch.stack([self.query_norm, self.key_norm])


class PackedAttention:
    """Global attention over packed rows: grouped tokens are put in sequence order and back (MoT, Algorithm 1)."""

    def __init__(self, layout: Layout, dtype: torch.dtype) -> None:
        self.order = layout.order
        self.grid = layout.document.shape
        seen = attention_mask(layout)
        # additive, so that no layer has to convert it
        self.mask = torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill_(~seen, -torch.inf)

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        gathered = F.scaled_dot_product_attention(self._rows(q), self._rows(k), self._rows(v), attn_mask=self.mask)
        return gathered.transpose(1, 2).flatten(0, 1).index_select(0, self.order)  # (N, h, e)

    def _rows(self, x: Tensor) -> Tensor:
        b, s = self.grid
        slots = x.new_zeros(b * s, *x.shape[1:]).index_copy(0, self.order, x)  # (b s, h, e)
        return slots.view(b, s, *x.shape[1:]).transpose(1, 2)  # (b, h, s, e)
