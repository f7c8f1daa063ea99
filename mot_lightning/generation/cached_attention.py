"""Attention of new tokens over the cached keys and values of their sequences. Knows slots, not modalities."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

# With at least this many tokens per call, sequences of different lengths get separate attention calls, without a mask;
# with fewer they share one masked call
MIN_TOKENS_PER_CALL = 16


class CachedRows:
    """Sequences that share one attention call in each layer.

    Args:
        cache: of these sequences, (depth, 2, r, kv_heads, capacity, e).
        rows: slice of these sequences among all.
        span: first slot of the new tokens, and the one after the last; None if only the device knows.
        slot: (r, n) slots of the new tokens. They are beyond the lengths, so they count only once the lengths grow.
        last_visible: (r, n) the last slot that each token attends to.
        of_layer: for each layer, the index of its relation in `allowed`.
        allowed: for each relation, (r, end) bool, the slots whose modality the new tokens see; empty if they see all.
    """

    def __init__(
        self,
        cache: Tensor,
        rows: slice,
        span: tuple[int, int] | None,
        slot: Tensor,
        last_visible: Tensor,
        of_layer: Sequence[int],
        allowed: Sequence[Tensor] = (),
    ) -> None:
        start, end = span or (0, cache.shape[4])
        self.rows = rows
        cache = cache.view(-1, *cache.shape[2:])  # keys and values of each layer in turn; a view, never a copy
        self.visible, self.new = cache[..., :end, :].unbind(), cache[..., start:end, :].unbind()
        self.index: tuple[Tensor, slice, Tensor] | None = None
        mask: Tensor | None = None
        if span is None or end - start > slot.shape[1]:  # the sequences differ in length
            sequence = torch.arange(len(slot), device=cache.device)[:, None]
            self.new, self.index = cache.unbind(), (sequence, slice(None), slot.to(cache.device))
        if span is None or int(last_visible.min()) < end - 1:
            invisible = (torch.arange(end, device=slot.device) > last_visible[..., None]).to(cache.device)
            # additive: a boolean mask would be converted in every layer
            mask = cache.new_zeros(invisible.shape).masked_fill_(invisible, -torch.inf)[:, None]  # (r, 1, n, end)
        masks = [_restricted(mask, cache, seen) for seen in allowed] or [mask]
        self.masks = [masks[i] for i in of_layer] if allowed else masks * len(of_layer)  # of each layer

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Write k and v (r, kv_heads, n, e) to the cache; return the attention of q (r, h, n, e) as (r n, h, e)."""
        of_layer = slice(2 * layer, 2 * layer + 2)
        for new, x in zip(self.new[of_layer], (k, v), strict=True):
            if self.index is None:
                new.copy_(x)
            else:
                new[self.index] = x.transpose(1, 2)
        keys, values = self.visible[of_layer]
        grouped_query = keys.shape[1] != q.shape[1]
        out = F.scaled_dot_product_attention(q, keys, values, attn_mask=self.masks[layer], enable_gqa=grouped_query)
        return out.transpose(1, 2).flatten(0, 1) if out.shape[2] > 1 else out[:, :, 0]  # (r n, h, e)


def _restricted(mask: Tensor | None, cache: Tensor, allowed: Tensor) -> Tensor | None:
    """A mask (r, 1, n, end) or none, without the slots (r, end) that are not allowed."""
    if allowed.all():
        return mask
    hidden = cache.new_zeros(allowed.shape).masked_fill_(~allowed.to(cache.device), -torch.inf)[:, None, None]
    return hidden if mask is None else mask + hidden  # (r, 1, n or 1, end)


def calls(lengths: list[int], n: int) -> list[slice]:
    """Neighbouring sequences that share one attention call for n tokens each: all, or runs of equal length."""
    ends = [i for i in range(1, len(lengths)) if lengths[i] != lengths[i - 1]]
    runs = [slice(start, end) for start, end in zip([0, *ends], [*ends, len(lengths)], strict=True)]
    return runs if len(lengths) * n >= MIN_TOKENS_PER_CALL * len(runs) else [slice(0, len(lengths))]
