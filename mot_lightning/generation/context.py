"""Context: a batch of growing sequences with their cached keys and values.

Knows the backbone and places; nothing of what tokens mean or who chooses them.
"""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mot_lightning.backbone import Backbone, Condition

# From so many tokens of each on, sequences of different lengths have a call of the attention each, and need no mask for
# where they end; fewer share one call under a mask
WORTH_A_CALL = 16
AT_ONCE = 32  # conditions worked out together: each takes room for six vectors a layer


class Context:
    """r sequences of different lengths that grow by one modality at a time.

    `peek` gives the hidden states of tokens and leaves no trace, `append` keeps them. A token sees all that stands
    before it and, of the tokens it comes with, those up to itself, or all of them where its modality is bidirectional.
    """

    def __init__(self, backbone: Backbone, rows: int, capacity: int = 128) -> None:
        settings = backbone.settings
        weight = next(backbone.parameters())
        shape = (settings.depth, 2, rows, settings.key_heads, capacity, settings.head_size)
        self.backbone = backbone
        self.cache = weight.new_zeros(shape)  # (depth, k and v, r, kv_heads, capacity, e); rubbish beyond the lengths
        self.lengths = torch.zeros(rows, dtype=torch.long)  # (r,), on the host: shapes depend on them
        self.last = weight.new_zeros(rows, settings.dim)  # (r, d)

    def __getitem__(self, rows: Sequence[int] | Tensor) -> "Context":
        """A copy of some of the sequences."""
        part = object.__new__(Context)
        part.backbone, part.cache = self.backbone, self.cache[:, :, rows]
        part.lengths, part.last = self.lengths[rows], self.last[rows]
        return part

    def __setitem__(self, rows: Sequence[int] | Tensor, part: "Context") -> None:
        """Take back what became of some of the sequences."""
        self._match(part)
        self.cache[:, :, rows] = part.cache
        self.lengths[rows], self.last[rows] = part.lengths, part.last

    def __add__(self, other: "Context") -> "Context":
        """The sequences of both, copied."""
        self._match(other)
        both = object.__new__(Context)
        both.backbone, both.cache = self.backbone, torch.cat([self.cache, other.cache], dim=2)
        both.lengths, both.last = torch.cat([self.lengths, other.lengths]), torch.cat([self.last, other.last])
        return both

    def adapt(self, modality: str, conditions: Tensor) -> Iterator[Condition]:
        """What `peek` takes in place of each of these conditions (k, d): the layers' part is done for many at once."""
        segment = torch.empty(0, dtype=torch.long, device=conditions.device)
        for vectors in conditions.split(AT_ONCE):
            for vector, adapted in zip(vectors.split(1), self.backbone.adapt(modality, vectors).split(1), strict=True):
                yield Condition(vector, segment, adapted=adapted)

    def peek(
        self,
        x: Tensor,
        modality: str,
        causal: bool,
        condition: Tensor | Condition | None = None,
        counts: Tensor | None = None,
    ) -> Tensor:
        """Hidden states (r, n, d) of tokens x (r, n, d) of one modality placed after each sequence.

        Args:
            causal: whether the tokens see each other only backwards.
            condition: (r, d), or (1, d) or one of `adapt` where all have the same, for a modality with adaptive norms.
            counts: (r,) how many of its tokens each sequence means; none means all.
        """
        r, n, _ = x.shape
        lengths = self.lengths.tolist()
        self._reserve(max(lengths) + n)
        place = self.lengths[:, None] + torch.arange(n)  # (r, n)
        reach = place  # the last key that each token sees
        if not causal:
            meant = torch.full_like(self.lengths, n) if counts is None else counts.cpu()
            reach = (self.lengths + meant.clamp(min=1) - 1)[:, None].expand(r, n)
        parts = [
            _Part(self.cache[:, :, rows], rows, (min(lengths[rows]), max(lengths[rows]) + n), place[rows], reach[rows])
            for rows in _calls(lengths, n)
        ]

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            # (r, h, n, e)
            q, k, v = (y.unflatten(0, (r, n)).transpose(1, 2) if n > 1 else y[:, :, None] for y in (q, k, v))
            if len(parts) == 1:
                return parts[0].attend(layer, q, k, v)
            return torch.cat([part.attend(layer, q[part.rows], k[part.rows], v[part.rows]) for part in parts])

        place = place.to(x.device)
        per_modality = [r * n if name == modality else 0 for name in self.backbone.modalities]
        # a modality of no rows still passes its tower, conditioned on nothing
        nothing = Condition(x.new_empty(0, x.shape[-1]), place.new_empty(0))
        conditions = {name: nothing for name in self.backbone.modalities}
        if condition is not None:
            one = condition if isinstance(condition, Condition) else nothing._replace(vector=condition)
            conditions[modality] = one._replace(length=r * n // len(one.vector))
        hidden = self.backbone(x.flatten(0, 1), per_modality, place.flatten(), attend, conditions)
        return hidden.view(r, n, -1)  # (r, n, d)

    def append(
        self, x: Tensor, modality: str, causal: bool, condition: Tensor | None = None, counts: Tensor | None = None
    ) -> Tensor:
        """As `peek`, and kept: all tokens, or the first `counts` (r,) of each sequence."""
        hidden = self.peek(x, modality, causal, condition, counts)
        if counts is None:
            self.lengths = self.lengths + x.shape[1]
            self.last = hidden[:, -1]
        else:
            at = (counts - 1).clamp(min=0)
            newest = hidden[torch.arange(len(hidden), device=x.device), at]  # (r, d)
            self.lengths = self.lengths + counts.cpu()
            self.last = torch.where((counts > 0)[:, None], newest, self.last)
        return hidden

    def speaking(self, modality: str, causal: bool) -> "Voice":
        return Voice(self, modality, causal)

    def _reserve(self, length: int) -> None:
        """Room for so many tokens; it doubles, so that growing by one seldom copies."""
        capacity = self.cache.shape[4]
        if length > capacity:
            self.cache = F.pad(self.cache, (0, 0, 0, max(length, 2 * capacity) - capacity))

    def _match(self, other: "Context") -> None:
        """The same room in both."""
        for one, two in ((self, other), (other, self)):
            one.cache = F.pad(one.cache, (0, 0, 0, max(0, two.cache.shape[4] - one.cache.shape[4])))


def _calls(lengths: list[int], n: int) -> list[slice]:
    """Neighbouring sequences that n tokens each are attended to for at once: all, or those of one length."""
    ends = [i for i in range(1, len(lengths)) if lengths[i] != lengths[i - 1]]
    runs = [slice(start, end) for start, end in zip([0, *ends], [*ends, len(lengths)], strict=True)]
    return runs if len(lengths) * n >= WORTH_A_CALL * len(runs) else [slice(0, len(lengths))]


class _Part:
    """Some of the sequences, all of whose tokens one call of the attention serves in each layer.

    Args:
        cache: of these sequences, (depth, 2, r, kv_heads, capacity, e).
        span: first slot of the tokens, and the one after the last.
        place: (r, n) slots of the tokens, beyond the lengths: no trace until they move.
        reach: (r, n) the last slot that each token sees.
    """

    def __init__(self, cache: Tensor, rows: slice, span: tuple[int, int], place: Tensor, reach: Tensor) -> None:
        start, end = span
        self.rows = rows
        cache = cache.view(-1, *cache.shape[2:])  # keys and values by turns, of layer after layer; never a copy
        self.seen, self.new = cache[..., :end, :].unbind(), cache[..., start:end, :].unbind()
        self.index: tuple[Tensor, slice, Tensor] | None = None
        self.mask: Tensor | None = None
        if end - start > place.shape[1]:  # not all begin at one slot
            sequence = torch.arange(len(place), device=cache.device)[:, None]
            self.new, self.index = cache.unbind(), (sequence, slice(None), place.to(cache.device))
        if int(reach.min()) < end - 1:
            hidden = (torch.arange(end) > reach[..., None]).to(cache.device)
            # additive, so that no layer has to convert it
            self.mask = cache.new_zeros(hidden.shape).masked_fill_(hidden, -torch.inf)[:, None]  # (r, 1, n, end)

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Keeps k and v (r, kv_heads, n, e) and gives what q (r, h, n, e) gathered, (r n, h, e)."""
        own = slice(2 * layer, 2 * layer + 2)
        for new, x in zip(self.new[own], (k, v), strict=True):
            if self.index is None:
                new.copy_(x)
            else:
                new[self.index] = x.transpose(1, 2)
        keys, values = self.seen[own]
        shared = keys.shape[1] != q.shape[1]
        out = F.scaled_dot_product_attention(q, keys, values, attn_mask=self.mask, enable_gqa=shared)
        return out.transpose(1, 2).flatten(0, 1) if out.shape[2] > 1 else out[:, :, 0]  # (r n, h, e)


class Voice:
    """A context as one modality's objective sees it: whatever it peeks at or appends is of that modality."""

    def __init__(self, context: Context, modality: str, causal: bool) -> None:
        self._context, self._modality, self._causal = context, modality, causal

    @property
    def last(self) -> Tensor:
        return self._context.last

    def adapt(self, conditions: Tensor) -> Iterator[Condition]:
        return self._context.adapt(self._modality, conditions)

    def peek(self, x: Tensor, condition: Tensor | Condition | None = None) -> Tensor:
        return self._context.peek(x, self._modality, self._causal, condition)

    def append(self, x: Tensor, condition: Tensor | None = None, counts: Tensor | None = None) -> Tensor:
        return self._context.append(x, self._modality, self._causal, condition, counts)
