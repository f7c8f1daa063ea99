"""Chooses the implementation of global attention for a packed batch.

Knows layouts, not modalities. An `AttentionFn` joins the towers; generation has another one, with a KV cache.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch

from mot_lightning.backbone.attention.blockwise import BlockwiseAttention
from mot_lightning.backbone.attention.flex import FlexAttention, VisibleRanges
from mot_lightning.backbone.attention.masked import PackedAttention
from mot_lightning.backbone.attention.permute import Keys, Queries
from mot_lightning.sequence import Layout

# (layer, q, k, v) -> attention output of each token
AttentionFn = Callable[[int, Queries, Keys, Keys], Queries]

AttentionBackend = Literal["auto", "sdpa", "blockwise", "flex"]

# On the CPU blockwise attention has a cost per block, and SDPA computes masked scores too: blockwise is faster if the
# longest document has at least this many tokens (forward and backward, float32, one and two threads, dim 128, 4 heads)
LONG_DOCUMENT = 128


def build_attention(backend: AttentionBackend, layout: Layout, dtype: torch.dtype) -> AttentionFn:
    """The attention over one batch; "auto" takes the fastest on the device of the batch.

    Raises:
        ValueError: "flex" with gradients on the CPU, or "blockwise" on another device.
    """
    device = layout.slot.device.type
    if backend == "auto":
        if device == "cpu":
            starts = np.unique(layout.blocks[:, 2])  # (documents,)
            longest = np.diff(starts, append=layout.blocks[-1, 1]).max()
            backend = "blockwise" if longest >= LONG_DOCUMENT else "sdpa"
        else:
            backend = "flex" if device == "cuda" else "sdpa"
    if backend == "flex" and device == "cpu" and torch.is_grad_enabled():
        raise ValueError("backbone.attention is flex, wanted auto, sdpa or blockwise to train on the CPU")
    if backend == "blockwise" and device != "cpu":
        raise ValueError(f"backbone.attention is blockwise on {device}, wanted auto, sdpa or flex")
    if backend == "blockwise":
        return BlockwiseAttention(layout)
    return FlexAttention(VisibleRanges.of(layout)) if backend == "flex" else PackedAttention(layout, dtype)
