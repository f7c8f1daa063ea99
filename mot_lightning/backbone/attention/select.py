"""Chooses the implementation of global attention for a packed batch.

Knows layouts, not modalities. An `AttentionFn` joins the towers; generation has another one, with a KV cache.
"""

from typing import Literal

import numpy as np
import torch

from mot_lightning.backbone.attention.blockwise import BlockwiseAttention
from mot_lightning.backbone.attention.by_layer import AttentionByLayer
from mot_lightning.backbone.attention.flex import FlexAttention, VisibleRanges
from mot_lightning.backbone.attention.insulated import InsulatedAttention
from mot_lightning.backbone.attention.masked import PackedAttention
from mot_lightning.backbone.attention.permute import AttentionFn
from mot_lightning.backbone.attention.visibility import Relation, Visibility, modality_of
from mot_lightning.sequence import Layout

AttentionBackend = Literal["auto", "sdpa", "blockwise", "flex"]

# On the CPU blockwise attention has a cost per block, and SDPA computes masked scores too: blockwise is faster if the
# longest document has at least this many tokens (forward and backward, float32, one and two threads, dim 128, 4 heads)
LONG_DOCUMENT = 128


def build_attention(
    backend: AttentionBackend, layout: Layout, dtype: torch.dtype, visibility: Visibility | None = None
) -> AttentionFn:
    """The attention over one batch; "auto" takes the fastest on the device of the batch.

    Args:
        visibility: which modalities attend to which; None is all to all.

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

    def of(relation: Relation | None) -> AttentionFn:
        if backend == "blockwise":
            return BlockwiseAttention(layout, relation)
        if backend == "flex":
            return FlexAttention(VisibleRanges.of(layout), relation)
        return PackedAttention(layout, dtype, relation)

    if visibility is None or not visibility.restricts:
        attend = of(None)
    else:
        attend = AttentionByLayer([of(relation) for relation in visibility.of(layout)], visibility.of_layer)
    if visibility is None or not visibility.insulated:
        return attend
    return InsulatedAttention(attend, modality_of(layout), visibility.insulated)
