"""Context: a batch of growing sequences with their cached keys and values.

Knows the backbone and positions; not the meaning or the sampling of tokens.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from mot_lightning.backbone import Backbone, Condition
from mot_lightning.generation.cached_attention import CachedRows, calls
from mot_lightning.generation.step_graphs import StepGraphs

ALIGNED = 8  # capacities are multiples of it, as fused attention kernels ask of a mask
READ = 128  # slots: a captured step reads the cache up to a multiple of it, and is captured anew beyond
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
        capacity += -capacity % ALIGNED
        shape = (settings.depth, 2, rows, settings.key_heads, capacity, settings.head_size)
        self.backbone, self.graphs = backbone, StepGraphs()
        self.cache = weight.new_zeros(shape)  # (depth, k and v, r, kv_heads, capacity, e); undefined beyond the lengths
        self.lengths = torch.zeros(rows, dtype=torch.long)  # (r,), on the host: shapes depend on them
        self.modality = torch.zeros(rows, capacity, dtype=torch.long)  # of each slot, on the host, too
        self.last = weight.new_zeros(rows, settings.dim)  # (r, d)

    def __getitem__(self, rows: Selection) -> "Context":
        """A copy of the selected sequences."""
        part = object.__new__(Context)
        part.backbone, part.graphs, part.cache = self.backbone, StepGraphs(), self.cache[:, :, rows]
        part.lengths, part.modality, part.last = self.lengths[rows], self.modality[rows], self.last[rows]
        return part

    def __setitem__(self, rows: Selection, part: "Context") -> None:
        """Replace the selected sequences."""
        self._match(part)
        self.cache[:, :, rows] = part.cache
        self.lengths[rows], self.modality[rows], self.last[rows] = part.lengths, part.modality, part.last

    def __add__(self, other: "Context") -> "Context":
        """A copy of the sequences of both."""
        self._match(other)
        both = object.__new__(Context)
        both.backbone, both.graphs = self.backbone, StepGraphs()
        both.cache = torch.cat([self.cache, other.cache], dim=2)
        both.lengths, both.last = torch.cat([self.lengths, other.lengths]), torch.cat([self.last, other.last])
        both.modality = torch.cat([self.modality, other.modality])
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
        n = x.shape[1]
        self._reserve(int(self.lengths.max()) + n)
        decodes, denoises = causal and n == 1, not causal and counts is None
        if not (decodes or denoises) or not self._captures(x):
            return self._hidden(x, modality, self._place(n, modality, causal, counts), condition)
        template = condition if isinstance(condition, Condition) else None
        tensor = condition.adapted if isinstance(condition, Condition) else condition
        tensors = [] if tensor is None else [tensor]
        kind = modality, causal, x.shape, template is None, *(y.shape for y in tensors)

        def given(tensors: Sequence[Tensor]) -> Tensor | Condition | None:
            if template is not None:
                return template._replace(adapted=tensors[0])
            return tensors[0] if tensors else None

        if decodes:  # each step one slot further, which only the device knows
            capacity = min(self.cache.shape[4], -(-int(self.lengths.max() + 1) // READ) * READ)

            def decode(x: Tensor, lengths: Tensor, *tensors: Tensor) -> Tensor:
                return self._hidden(x, modality, self._place_on_device(lengths, capacity), given(tensors))

            return self.graphs(kind, capacity, decode, x, self.lengths.to(x.device), *tensors)
        placed = self._place(n, modality, causal)  # each step in the same slots

        def denoise(x: Tensor, *tensors: Tensor) -> Tensor:
            return self._hidden(x, modality, placed, given(tensors))

        return self.graphs(kind, tuple(self.lengths.tolist()), denoise, x, *tensors)

    def _captures(self, x: Tensor) -> bool:
        """Whether steps are captured: not under autocast, as its casts of the weights do not outlive it."""
        return self.backbone.settings.cuda_graphs and x.is_cuda and not torch.is_autocast_enabled("cuda")

    def _place(self, n: int, modality: str, causal: bool, counts: Tensor | None = None) -> "_Place":
        """Where n new tokens of a modality go in each sequence."""
        r, lengths = len(self.lengths), self.lengths.tolist()
        slot = self.lengths[:, None] + torch.arange(n)  # (r, n)
        last_visible = slot  # the last slot that each token attends to
        if not causal:
            valid = torch.full_like(self.lengths, n) if counts is None else counts.cpu()
            last_visible = (self.lengths + valid.clamp(min=1) - 1)[:, None].expand(r, n)
        groups = []
        visibility, number = self.backbone.visibility, self.backbone.modalities.index(modality)
        self.modality.scatter_(1, slot, number)
        for rows in calls(lengths, n):
            span = min(lengths[rows]), max(lengths[rows]) + n
            relations = visibility.relations if visibility.restricts else []
            allowed = [relation[number][self.modality[rows, : span[1]]] for relation in relations]
            place = self.cache[:, :, rows], rows, span, slot[rows], last_visible[rows]
            groups.append(CachedRows(*place, visibility.of_layer, allowed))
        return _Place(slot.flatten().to(self.cache.device), groups)

    def _place_on_device(self, lengths: Tensor, capacity: int) -> "_Place":
        """Where one new token of each sequence goes, all within `capacity`, without reading lengths from the device."""
        slot, cache = lengths[:, None], self.cache[..., :capacity, :]
        return _Place(lengths, [CachedRows(cache, slice(None), None, slot, slot, self.backbone.visibility.of_layer)])

    def _hidden(self, x: Tensor, modality: str, place: "_Place", condition: Tensor | Condition | None) -> Tensor:
        r, n, _ = x.shape
        position, groups = place

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            # (r, h, n, e)
            q, k, v = (y.unflatten(0, (r, n)).transpose(1, 2) if n > 1 else y[:, :, None] for y in (q, k, v))
            if len(groups) == 1:
                return groups[0].attend(layer, q, k, v)
            return torch.cat([group.attend(layer, q[group.rows], k[group.rows], v[group.rows]) for group in groups])

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
            self._grow(max(length + -length % ALIGNED, 2 * capacity))

    def _match(self, other: "Context") -> None:
        """Grow both to the same capacity."""
        capacity = max(context.cache.shape[4] for context in (self, other))
        for context in (self, other):
            if context.cache.shape[4] < capacity:
                context._grow(capacity)

    def _grow(self, capacity: int) -> None:
        self.cache = F.pad(self.cache, (0, 0, 0, capacity - self.cache.shape[4]))
        self.modality = F.pad(self.modality, (0, capacity - self.modality.shape[1]))
        self.graphs = StepGraphs()  # the graphs write to the cache that they were captured with


class _Place(NamedTuple):
    """Where new tokens go."""

    position: Int[Tensor, " r_n"]
    groups: list[CachedRows]


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
