"""Context: a batch of growing sequences with their cached keys and values.

Knows the backbone and places; nothing of what tokens mean or who chooses them.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mot_lightning.backbone import Backbone, Condition


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

    def peek(
        self, x: Tensor, modality: str, causal: bool, condition: Tensor | None = None, counts: Tensor | None = None
    ) -> Tensor:
        """Hidden states (r, n, d) of tokens x (r, n, d) of one modality placed after each sequence.

        Args:
            causal: whether the tokens see each other only backwards.
            condition: (r, d), for a modality with adaptive norms.
            counts: (r,) how many of its tokens each sequence means; none means all.
        """
        r, n, _ = x.shape
        start, longest = int(self.lengths.min()), int(self.lengths.max())
        end = longest + n
        self._reserve(end)
        place = self.lengths[:, None] + torch.arange(n)  # (r, n)
        mask = None
        if start < longest or counts is not None or (causal and n > 1):
            meant = torch.full_like(self.lengths, n) if counts is None else counts.cpu()
            reach = place if causal else (self.lengths + meant.clamp(min=1) - 1)[:, None].expand(r, n)
            unseen = (torch.arange(end) > reach[..., None]).to(x.device)
            # additive, so that no layer has to convert it
            mask = x.new_zeros(unseen.shape).masked_fill_(unseen, -torch.inf)[:, None]  # (r, 1, n, end)
        place = place.to(x.device)
        rows = torch.arange(r, device=x.device)[:, None]

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            for cached, new in zip(self.cache[layer], (k, v), strict=True):  # (r, kv_heads, capacity, e)
                new = new.view(r, n, *new.shape[1:])
                if start == longest:  # beyond the lengths: no trace until they move
                    cached[:, :, start:end] = new.transpose(1, 2)
                else:
                    cached[rows, :, place] = new
            keys, values = self.cache[layer, ..., :end, :]
            queries = q.view(r, n, *q.shape[1:]).transpose(1, 2)  # (r, h, n, e)
            shared = keys.shape[1] != queries.shape[1]
            out = F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask, enable_gqa=shared)
            return out.transpose(1, 2).flatten(0, 1)  # (r n, h, e)

        per_modality = [r * n if name == modality else 0 for name in self.backbone.modalities]
        segment = torch.arange(r, device=x.device).repeat_interleave(n)
        # a modality of no rows still passes its tower, conditioned on nothing
        nothing = Condition(x.new_zeros(0, x.shape[-1]), segment[:0])
        conditions = {name: nothing for name in self.backbone.modalities}
        if condition is not None:
            conditions[modality] = Condition(condition, segment, n)
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


class Voice:
    """A context as one modality's objective sees it: whatever it peeks at or appends is of that modality."""

    def __init__(self, context: Context, modality: str, causal: bool) -> None:
        self._context, self._modality, self._causal = context, modality, causal

    @property
    def last(self) -> Tensor:
        return self._context.last

    def peek(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        return self._context.peek(x, self._modality, self._causal, condition)

    def append(self, x: Tensor, condition: Tensor | None = None, counts: Tensor | None = None) -> Tensor:
        return self._context.append(x, self._modality, self._causal, condition, counts)
