"""The one softmax over the whole sequence.

Knows layouts, not modalities: `Attend` is what joins the towers, and generation brings another with a KV cache.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from mot_lightning.backbone.mask import attention_mask
from mot_lightning.sequence import Layout

# (layer, q, k, v) -> what each token gathered; (N, h, e) or, of keys and values, (N, kv_heads, e), grouped by tower
Attend = Callable[[int, Tensor, Tensor, Tensor], Tensor]


class PackedAttention:
    """Global attention over packed rows: grouped tokens are put in sequence order and back (MoT, Algorithm 1)."""

    def __init__(self, layout: Layout, dtype: torch.dtype) -> None:
        self.order = layout.order
        self.grid = layout.document.shape
        seen = attention_mask(layout)
        # additive, so that no layer has to convert it
        self.mask = torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill_(~seen, -torch.inf)

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        shared = k.shape[1] != q.shape[1]
        gathered = F.scaled_dot_product_attention(
            self._rows(q), self._rows(k), self._rows(v), attn_mask=self.mask, enable_gqa=shared
        )
        return gathered.transpose(1, 2).flatten(0, 1).index_select(0, self.order)  # (N, h, e)

    def _rows(self, x: Tensor) -> Tensor:
        b, s = self.grid
        slots = x.new_zeros(b * s, *x.shape[1:]).index_copy(0, self.order, x)  # (b s, h, e)
        return slots.view(b, s, *x.shape[1:]).transpose(1, 2)  # (b, h, s, e)
