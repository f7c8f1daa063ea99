"""Global attention on CUDA: one fused kernel over the whole sequence that skips what nobody sees (FlexAttention).

Needs no compiler on the CPU, where it only runs forward, unfused: for tests.
"""

from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from mot_lightning.backbone.ordering import inverse, one_dtype, reorder
from mot_lightning.sequence import Layout

TILE = 128  # tokens a side, of the sparse mask
LEAST = 16  # numbers of a head that the kernel takes
# below 128 queries PyTorch takes the kernel that it has for decoding, and 2.11 has none for queries that share a key
KERNEL: Any = {"BACKEND": "TRITON"}


@cache
def _compiled() -> Any:
    return torch.compile(flex_attention, dynamic=True)


class FlexAttention:
    """`Attend` of a layout as one block mask; nothing here waits for the device."""

    def __init__(self, layout: Layout) -> None:
        self.rank, self.place = layout.rank, inverse(layout.rank)
        slots = layout.order.index_select(0, self.place)
        position, reach = (x.flatten().index_select(0, slots) for x in (layout.position, layout.reach))
        here = torch.arange(len(slots), device=slots.device)
        self.mask = block_mask(here - position, here - position + reach)

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        e, shared = q.shape[-1], q.shape[1] != k.shape[1]
        if e < LEAST:
            q, k, v = (F.pad(x, (0, LEAST - e)) for x in (q, k, v))
        q, k, v = (reorder(x, self.place, self.rank).transpose(0, 1)[None] for x in one_dtype(q, k, v))  # (1, h, N, e)
        attend = _compiled() if q.is_cuda else flex_attention
        options = {"scale": e**-0.5, "enable_gqa": shared, "kernel_options": KERNEL}
        gathered = attend(q, k, v, block_mask=self.mask, **options)
        return reorder(gathered[0].transpose(0, 1), self.rank, self.place)[..., :e]  # (N, h, e)


def block_mask(first: Tensor, last: Tensor) -> BlockMask:
    """The mask by which each token sees the tokens from `first` to `last` (N,).

    Neither ever falls from one token to the next, and every token sees itself. So the tokens of a tile see one unbroken
    range together, and another is what all of them see: their first and last tokens tell, and no (N, N) is looked at.
    """
    n = len(first)
    start = torch.arange(0, n, TILE, device=first.device)  # (tiles,)
    end = (start + TILE - 1).clamp(max=n - 1)
    some = (first[start, None] <= end) & (last[end, None] >= start)  # (tiles, tiles)
    every = (first[end, None] <= start) & (last[start, None] >= start + TILE - 1)

    def visible(b: Tensor, h: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (first[query] <= key) & (key <= last[query])

    return BlockMask.from_kv_blocks(
        *_listed(some & ~every), *_listed(every), BLOCK_SIZE=TILE, mask_mod=visible, seq_lengths=(n, n)
    )


def _listed(tiles: Tensor) -> tuple[Tensor, Tensor]:
    """How many tiles of keys each tile of queries has (1, 1, tiles), and which, those first (1, 1, tiles, tiles)."""
    which = tiles.int().argsort(dim=1, descending=True, stable=True)
    return tiles.sum(1, dtype=torch.int32)[None, None], which.int()[None, None]
