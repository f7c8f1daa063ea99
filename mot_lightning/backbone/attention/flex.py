"""Global attention on CUDA: one fused kernel over the whole sequence that skips invisible tiles (FlexAttention).

On the CPU it needs no compiler and runs forward only, unfused: for tests.
"""

from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Int
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from mot_lightning.backbone.attention.permute import Keys, Queries, inverse, one_dtype, reorder
from mot_lightning.sequence import Layout

TILE = 128  # side of a tile of the sparse mask, in tokens
MIN_HEAD_SIZE = 16  # that the kernel supports
# below 128 queries PyTorch takes its decoding kernel, which in 2.11 does not support queries that share a key
KERNEL: Any = {"BACKEND": "TRITON"}


@cache
def _compiled() -> Any:
    return torch.compile(flex_attention, dynamic=True)


class FlexAttention:
    """`AttentionFn` of a layout as one block mask, built without synchronising the device."""

    def __init__(self, layout: Layout) -> None:
        self.to_grouped, self.to_packed = layout.packed_index, inverse(layout.packed_index)
        slots = layout.slot.index_select(0, self.to_packed)
        position, last = (x.flatten().index_select(0, slots) for x in (layout.position, layout.last_visible))
        start = torch.arange(len(slots), device=slots.device) - position  # (N,) start of the document
        self.mask = block_mask(start, start + last)

    def __call__(self, layer: int, q: Queries, k: Keys, v: Keys) -> Queries:
        e, grouped_query = q.shape[-1], q.shape[1] != k.shape[1]
        if e < MIN_HEAD_SIZE:
            q, k, v = (F.pad(x, (0, MIN_HEAD_SIZE - e)) for x in (q, k, v))
        packed = (reorder(x, self.to_packed, self.to_grouped) for x in one_dtype(q, k, v))
        q, k, v = (x.transpose(0, 1)[None] for x in packed)  # (1, h, N, e)
        attend = _compiled() if q.is_cuda else flex_attention
        options = {"scale": e**-0.5, "enable_gqa": grouped_query, "kernel_options": KERNEL}
        attended = attend(q, k, v, block_mask=self.mask, **options)
        return reorder(attended[0].transpose(0, 1), self.to_grouped, self.to_packed)[..., :e]  # (N, h, e)


def block_mask(first: Int[Tensor, " N"], last: Int[Tensor, " N"]) -> BlockMask:
    """The mask of tokens that each attend to the keys from `first` to `last`.

    `first` and `last` never decrease from token to token, and every token attends to itself. So the keys visible to
    any token of a tile form one range, and so do the keys visible to all of them. Both ranges follow from the tile's
    first and last tokens, without an (N, N) mask.
    """
    n = len(first)
    start = torch.arange(0, n, TILE, device=first.device)  # (tiles,)
    end = (start + TILE - 1).clamp(max=n - 1)
    any_visible = (first[start, None] <= end) & (last[end, None] >= start)  # (tiles, tiles)
    all_visible = (first[end, None] <= start) & (last[start, None] >= start + TILE - 1)  # (tiles, tiles)

    def visible(b: Tensor, h: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (first[query] <= key) & (key <= last[query])

    return BlockMask.from_kv_blocks(
        *_ordered(any_visible & ~all_visible),
        *_ordered(all_visible),
        BLOCK_SIZE=TILE,
        mask_mod=visible,
        seq_lengths=(n, n),
    )


def _ordered(tiles: Tensor) -> tuple[Tensor, Tensor]:
    """Key tiles of each query tile: their number (1, 1, tiles), and all indices, theirs first (1, 1, tiles, tiles)."""
    indices = tiles.int().argsort(dim=1, descending=True, stable=True)
    return tiles.sum(1, dtype=torch.int32)[None, None], indices.int()[None, None]
