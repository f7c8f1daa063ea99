"""Context: a batch of growing sequences with their cached keys and values.

Knows the backbone and positions; not the meaning or the sampling of tokens.
"""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from mot_lightning.backbone import Backbone, Condition

# With at least this many tokens per call, sequences of different lengths get separate attention calls, without a mask;
# with fewer they share one masked call
MIN_TOKENS_PER_CALL = 16
AT_ONCE = 32  # conditions whose modulation is computed together: each takes six vectors per layer

Selection = Sequence[int] | Int[Tensor, " selected"]  # indices of sequences


class Context:
    """r sequences of different lengths that grow by one modality at a time.

    `peek` returns the hidden states of new tokens without adding them to the cache, `append` adds them. A token attends
    to all earlier tokens of its sequence and, among the new ones, to those up to itself, or to all if it is
    bidirectional.
    """

    def __init__(self, backbone: Backbone, rows: int, capacity: int = 128) -> None:
        settings = backbone.settings
        weight = next(backbone.parameters())
        shape = (settings.depth, 2, rows, settings.key_heads, capacity, settings.head_size)
        self.backbone = backbone
        self.cache = weight.new_zeros(shape)  # (depth, k and v, r, kv_heads, capacity, e); undefined beyond the lengths
        self.lengths = torch.zeros(rows, dtype=torch.long)  # (r,), on the host: shapes depend on them
        self.last = weight.new_zeros(rows, settings.dim)  # (r, d)

    def __getitem__(self, rows: Selection) -> "Context":
        """A copy of the selected sequences."""
        part = object.__new__(Context)
        part.backbone, part.cache = self.backbone, self.cache[:, :, rows]
        part.lengths, part.last = self.lengths[rows], self.last[rows]
        return part

    def __setitem__(self, rows: Selection, part: "Context") -> None:
        """Replace the selected sequences."""
        self._match(part)
        self.cache[:, :, rows] = part.cache
        self.lengths[rows], self.last[rows] = part.lengths, part.last

    def __add__(self, other: "Context") -> "Context":
        """A copy of the sequences of both."""
        self._match(other)
        both = object.__new__(Context)
        both.backbone, both.cache = self.backbone, torch.cat([self.cache, other.cache], dim=2)
        both.lengths, both.last = torch.cat([self.lengths, other.lengths]), torch.cat([self.last, other.last])
        return both

    def adapt(self, modality: str, conditions: Float[Tensor, "k d"]) -> Iterator[Condition]:
        """A `Condition` for `peek` from each vector, with the modulation of all layers computed in advance."""
        segment = torch.empty(0, dtype=torch.long, device=conditions.device)
        for vectors in conditions.split(AT_ONCE):
            for vector, adapted in zip(vectors.split(1), self.backbone.adapt(modality, vectors).split(1), strict=True):
                yield Condition(vector, segment, adapted=adapted)

    def peek(
        self,
        x: Float[Tensor, "r n d"],
        modality: str,
        causal: bool,
        condition: Float[Tensor, "#r d"] | Condition | None = None,
        counts: Int[Tensor, " r"] | None = None,
    ) -> Float[Tensor, "r n d"]:
        """Hidden states of new tokens x of one modality after each sequence; the tokens are not added.

        Args:
            causal: whether each new token attends only to those up to itself.
            condition: for a modality with adaptive norms; one row, or an item of `adapt`, is for all sequences.
            counts: number of new tokens of each sequence that are not padding; None means all.
        """
        r, n, _ = x.shape
        lengths = self.lengths.tolist()
        self._reserve(max(lengths) + n)
        slot = self.lengths[:, None] + torch.arange(n)  # (r, n)
        last_visible = slot  # the last slot that each token attends to
        if not causal:
            valid = torch.full_like(self.lengths, n) if counts is None else counts.cpu()
            last_visible = (self.lengths + valid.clamp(min=1) - 1)[:, None].expand(r, n)
        groups = []
        for rows in _calls(lengths, n):
            span = min(lengths[rows]), max(lengths[rows]) + n
            groups.append(_Rows(self.cache[:, :, rows], rows, span, slot[rows], last_visible[rows]))

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            # (r, h, n, e)
            q, k, v = (y.unflatten(0, (r, n)).transpose(1, 2) if n > 1 else y[:, :, None] for y in (q, k, v))
            if len(groups) == 1:
                return groups[0].attend(layer, q, k, v)
            return torch.cat([group.attend(layer, q[group.rows], k[group.rows], v[group.rows]) for group in groups])

        position = slot.flatten().to(x.device)
        per_modality = [r * n if name == modality else 0 for name in self.backbone.modalities]
        # a tower of several modalities needs a condition for each, empty for those without tokens
        empty = Condition(x.new_empty(0, x.shape[-1]), position.new_empty(0))
        conditions = dict.fromkeys(self.backbone.modalities, empty)
        if condition is not None:
            condition = condition if isinstance(condition, Condition) else empty._replace(vector=condition)
            conditions[modality] = condition._replace(length=r * n // len(condition.vector))
        hidden = self.backbone(x.flatten(0, 1), per_modality, position, attend, conditions)
        return hidden.view(r, n, -1)  # (r, n, d)

    def append(
        self,
        x: Float[Tensor, "r n d"],
        modality: str,
        causal: bool,
        condition: Float[Tensor, "#r d"] | None = None,
        counts: Int[Tensor, " r"] | None = None,
    ) -> Float[Tensor, "r n d"]:
        """As `peek`, but the tokens are added: all, or the first `counts` of each sequence."""
        hidden = self.peek(x, modality, causal, condition, counts)
        if counts is None:
            self.lengths = self.lengths + x.shape[1]
            self.last = hidden[:, -1]
        else:
            index = (counts - 1).clamp(min=0)
            newest = hidden[torch.arange(len(hidden), device=x.device), index]  # (r, d)
            self.lengths = self.lengths + counts.cpu()
            self.last = torch.where((counts > 0)[:, None], newest, self.last)
        return hidden

    def for_modality(self, modality: str, causal: bool) -> "ModalityContext":
        return ModalityContext(self, modality, causal)

    def _reserve(self, length: int) -> None:
        """Grow the capacity to at least `length`; it doubles, so that copies are rare."""
        capacity = self.cache.shape[4]
        if length > capacity:
            self.cache = F.pad(self.cache, (0, 0, 0, max(length, 2 * capacity) - capacity))

    def _match(self, other: "Context") -> None:
        """Grow both to the same capacity."""
        for context, target in ((self, other), (other, self)):
            missing = max(0, target.cache.shape[4] - context.cache.shape[4])
            context.cache = F.pad(context.cache, (0, 0, 0, missing))


def _calls(lengths: list[int], n: int) -> list[slice]:
    """Neighbouring sequences that share one attention call for n tokens each: all, or runs of equal length."""
    ends = [i for i in range(1, len(lengths)) if lengths[i] != lengths[i - 1]]
    runs = [slice(start, end) for start, end in zip([0, *ends], [*ends, len(lengths)], strict=True)]
    return runs if len(lengths) * n >= MIN_TOKENS_PER_CALL * len(runs) else [slice(0, len(lengths))]


class _Rows:
    """Sequences that share one attention call in each layer.

    Args:
        cache: of these sequences, (depth, 2, r, kv_heads, capacity, e).
        rows: slice of these sequences among all.
        span: first slot of the new tokens, and the one after the last.
        slot: (r, n) slots of the new tokens. They are beyond the lengths, so they count only once the lengths grow.
        last_visible: (r, n) the last slot that each token attends to.
    """

    def __init__(self, cache: Tensor, rows: slice, span: tuple[int, int], slot: Tensor, last_visible: Tensor) -> None:
        start, end = span
        self.rows = rows
        cache = cache.view(-1, *cache.shape[2:])  # keys and values of each layer in turn; a view, never a copy
        self.visible, self.new = cache[..., :end, :].unbind(), cache[..., start:end, :].unbind()
        self.index: tuple[Tensor, slice, Tensor] | None = None
        self.mask: Tensor | None = None
        if end - start > slot.shape[1]:  # the sequences differ in length
            sequence = torch.arange(len(slot), device=cache.device)[:, None]
            self.new, self.index = cache.unbind(), (sequence, slice(None), slot.to(cache.device))
        if int(last_visible.min()) < end - 1:
            invisible = (torch.arange(end) > last_visible[..., None]).to(cache.device)
            # additive: a boolean mask would be converted in every layer
            self.mask = cache.new_zeros(invisible.shape).masked_fill_(invisible, -torch.inf)[:, None]  # (r, 1, n, end)

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
        out = F.scaled_dot_product_attention(q, keys, values, attn_mask=self.mask, enable_gqa=grouped_query)
        return out.transpose(1, 2).flatten(0, 1) if out.shape[2] > 1 else out[:, :, 0]  # (r n, h, e)


class ModalityContext:
    """The context as one modality's objective uses it: all new tokens are of that modality."""

    def __init__(self, context: Context, modality: str, causal: bool) -> None:
        self._context, self._modality, self._causal = context, modality, causal

    @property
    def last(self) -> Float[Tensor, "r d"]:
        return self._context.last

    def adapt(self, conditions: Float[Tensor, "k d"]) -> Iterator[Condition]:
        return self._context.adapt(self._modality, conditions)

    def peek(
        self, x: Float[Tensor, "r n d"], condition: Float[Tensor, "#r d"] | Condition | None = None
    ) -> Float[Tensor, "r n d"]:
        return self._context.peek(x, self._modality, self._causal, condition)

    def append(
        self,
        x: Float[Tensor, "r n d"],
        condition: Float[Tensor, "#r d"] | None = None,
        counts: Int[Tensor, " r"] | None = None,
    ) -> Float[Tensor, "r n d"]:
        return self._context.append(x, self._modality, self._causal, condition, counts)
