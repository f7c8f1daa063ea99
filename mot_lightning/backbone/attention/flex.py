"""Global attention on CUDA: one fused kernel over the whole sequence that skips invisible tiles (FlexAttention).

On the CPU it needs no compiler and runs forward only, unfused: for tests.
"""

from functools import cache, cached_property
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Int
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from mot_lightning.backbone.attention.permute import Keys, Queries, inverse, one_dtype, reorder
from mot_lightning.backbone.attention.visibility import Relation
from mot_lightning.sequence import Layout

TILE = 128  # side of a tile of the sparse mask, in tokens
MIN_HEAD_SIZE = 16  # that the kernel supports
# below 128 queries PyTorch takes its decoding kernel, which in 2.11 does not support queries that share a key
KERNEL: Any = {"BACKEND": "TRITON"}


@cache
def _compiled() -> Any:
    return torch.compile(flex_attention, dynamic=True)


class VisibleRanges(NamedTuple):
    """The keys that each token of a batch attends to; with its counts, all that attention needs to know of a layout."""

    packed_index: Int[Tensor, " N"]  # of each grouped token
    first: Int[Tensor, " N"]  # packed index of the first key of each packed token
    last: Int[Tensor, " N"]  # and of the last; neither decreases from token to token

    @classmethod
    def of(cls, layout: Layout) -> "VisibleRanges":
        """The ranges of a layout, computed without synchronising the device."""
        slots = layout.slot.index_select(0, inverse(layout.packed_index))
        position, last = (x.flatten().index_select(0, slots) for x in (layout.position, layout.last_visible))
        start = torch.arange(len(slots), device=slots.device) - position  # (N,) start of the document
        return cls(layout.packed_index, start, start + last)


class FlexAttention:
    """`AttentionFn` of the visible ranges as one block mask, built without synchronising the device."""

    def __init__(self, ranges: VisibleRanges, relation: Relation | None = None) -> None:
        self.ranges = ranges
        self.relation = relation and relation.packed(self.to_packed)

    @cached_property  # captured steps build their own
    def to_packed(self) -> Int[Tensor, " N"]:
        return inverse(self.ranges.packed_index)

    @cached_property
    def mask(self) -> BlockMask:
        return block_mask(self.ranges.first, self.ranges.last, self.relation)

    def __call__(self, layer: int, q: Queries, k: Keys, v: Keys) -> Queries:
        to_grouped, to_packed = self.ranges.packed_index, self.to_packed
        e, grouped_query = q.shape[-1], q.shape[1] != k.shape[1]
        if e < MIN_HEAD_SIZE:
            q, k, v = (F.pad(x, (0, MIN_HEAD_SIZE - e)) for x in (q, k, v))
        packed = (reorder(x, to_packed, to_grouped) for x in one_dtype(q, k, v))
        q, k, v = (x.transpose(0, 1)[None] for x in packed)  # (1, h, N, e)
        attend = _compiled() if q.is_cuda else flex_attention
        options = {"scale": e**-0.5, "enable_gqa": grouped_query, "kernel_options": KERNEL}
        attended = attend(q, k, v, block_mask=self.mask, **options)
        return reorder(attended[0].transpose(0, 1), to_grouped, to_packed)[..., :e]  # (N, h, e)


def block_mask(first: Int[Tensor, " N"], last: Int[Tensor, " N"], relation: Relation | None = None) -> BlockMask:
    """The mask of tokens that each attend to the keys from `first` to `last`.

    `first` and `last` never decrease from token to token, and every token attends to itself. So the keys visible to
    any token of a tile form one range, and so do the keys visible to all of them. Both ranges follow from the tile's
    first and last tokens, without an (N, N) mask. With a relation, all visible tiles are masked token by token.
    """
    n = len(first)
    start = torch.arange(0, n, TILE, device=first.device)  # (tiles,)
    end = (start + TILE - 1).clamp(max=n - 1)
    any_visible = (first[start, None] <= end) & (last[end, None] >= start)  # (tiles, tiles)
    all_visible = (first[end, None] <= start) & (last[start, None] >= start + TILE - 1)  # (tiles, tiles)

    def in_range(b: Tensor, h: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (first[query] <= key) & (key <= last[query])

    visible = in_range
    if relation is not None:
        allowed, modality = relation
        all_visible = torch.zeros_like(all_visible)

        def related(b: Tensor, h: Tensor, query: Tensor, key: Tensor) -> Tensor:
            return in_range(b, h, query, key) & allowed[modality[query], modality[key]]

        visible = related

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
