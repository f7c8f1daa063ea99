"""The one softmax over the whole sequence.

Knows layouts, not modalities: `Attend` is what joins the towers, and generation brings another with a KV cache.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mot_lightning.backbone.block_list import BlockListAttention
from mot_lightning.backbone.flex import FlexAttention
from mot_lightning.backbone.mask import attention_mask
from mot_lightning.sequence import Layout

# (layer, q, k, v) -> what each token gathered; (N, h, e) or, of keys and values, (N, kv_heads, e), grouped by tower
Attend = Callable[[int, Tensor, Tensor, Tensor], Tensor]


class PackedAttention:
    """Global attention over packed rows: grouped tokens are put in sequence order and back (MoT, Algorithm 1).

    Runs wherever SDPA does, with a mask; what it hides is computed all the same.
    """

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


Backend = Literal["auto", "sdpa", "block_list", "flex"]

# On the CPU a block list pays for each of its blocks, and a mask for all that it hides: from this many tokens of the
# longest document on, the first is the faster (forward and backward, float32, one and two threads, dim 128, 4 heads)
LONG_DOCUMENT = 128


def joined(backend: Backend, layout: Layout, dtype: torch.dtype) -> Attend:
    """The attention over one batch that a setting asks for; "auto" takes the fastest where the batch lies.

    Raises:
        ValueError: "flex" has no backward on the CPU, "block_list" runs nowhere else.
    """
    device = layout.order.device.type
    if backend == "auto":
        if device == "cpu":
            starts = np.unique(layout.blocks[:, 2])  # of documents
            longest = np.diff(starts, append=layout.blocks[-1, 1]).max()
            backend = "block_list" if longest >= LONG_DOCUMENT else "sdpa"
        else:
            backend = "flex" if device == "cuda" else "sdpa"
    if backend == "flex" and device == "cpu" and torch.is_grad_enabled():
        raise ValueError("backbone.attention is flex, wanted auto, sdpa or block_list to train on the CPU")
    if backend == "block_list" and device != "cpu":
        raise ValueError(f"backbone.attention is block_list on {device}, wanted auto, sdpa or flex")
    if backend == "block_list":
        return BlockListAttention(layout)
    return FlexAttention(layout) if backend == "flex" else PackedAttention(layout, dtype)
