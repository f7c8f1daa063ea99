"""How many FLOPs a token of each modality costs.

Runs the model under PyTorch's FLOP counter, and adds the FLOPs of attention over the mean context of a batch.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from mot_lightning.analysis.ledger.frozen import saved_flops
from mot_lightning.analysis.training_factor import TRAINING_FACTOR
from mot_lightning.backbone.attention.flex import VisibleRanges
from mot_lightning.backbone.attention.permute import inverse
from mot_lightning.backbone.attention.visibility import modality_of
from mot_lightning.backbone.moe import experts_of
from mot_lightning.model import MixtureOfTransformers
from mot_lightning.noise import Noise
from mot_lightning.parameters import active_parameters
from mot_lightning.sequence import InterleavedBatch, Layout, ModalityBatch


class Cost(NamedTuple):
    """What one token of a modality costs."""

    parameters: int  # active parameters: of embeddings one row, of experts those that process the token
    flops: float  # FLOPs of all matrix products of a forward pass, with attention over `context` tokens
    context: float  # mean number of tokens that it attends to
    layer_flops: float  # those of `flops` in layers, which activation checkpointing computes again
    saved_flops: float = 0.0  # of gradients that training does not need, as weights are frozen

    @property
    def training_flops(self) -> float:
        """FLOPs of a forward and a backward pass."""
        return TRAINING_FACTOR * self.flops - self.saved_flops


def costs(model: MixtureOfTransformers, batch: InterleavedBatch) -> dict[str, Cost]:
    """The cost of each modality with tokens in a batch, at the segment lengths and contexts of the batch."""
    layout = batch.layout
    by_modality = {}
    for name, n, context in zip(model.grammar.groups, layout.counts, mean_contexts(model, layout), strict=True):
        if n:
            settings = model.backbone.settings
            attention = 4 * settings.heads * settings.head_size * context * settings.depth  # q k^T and weights v
            linear, layers, saved = (count / n for count in _linear_flops(model, name, batch.by_modality[name]))
            active = active_parameters(model, name)
            by_modality[name] = Cost(active, linear + attention, context, layers + attention, saved)
    return by_modality


def mean_contexts(model: MixtureOfTransformers, layout: Layout) -> list[float]:
    """The number of tokens that one of each modality attends to, in the mean over tokens and layers."""
    visibility, modality = model.backbone.visibility, modality_of(layout)
    ranges, m = VisibleRanges.of(layout), len(layout.counts)
    packed = modality.index_select(0, inverse(layout.packed_index))
    before = F.pad(F.one_hot(packed, m).cumsum(0), (0, 0, 1, 0))  # (N + 1, m) tokens of each modality before
    keys = (before[ranges.last + 1] - before[ranges.first])[layout.packed_index]  # (N, m)
    of_layers = torch.stack([visibility.relations[i] for i in visibility.of_layer]).double().mean(0)  # (m, m)
    seen = (keys * of_layers.to(keys.device)[modality]).sum(1)  # (N,)
    return [float(part.mean()) for part in seen.split(list(layout.counts))]


@torch.no_grad()
def _linear_flops(model: MixtureOfTransformers, name: str, part: ModalityBatch) -> tuple[float, float, float]:
    """FLOPs of one modality's tokens in everything but attention, those of them in layers, and `saved_flops`."""
    from mot_lightning.backbone import Condition

    objective = model.objectives[name]
    counts = [len(part.tokens) if other == name else 0 for other in model.grammar.groups]

    def no_attention(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return v.repeat_interleave(q.shape[1] // v.shape[1], dim=1)  # (N, h, e)

    counting = FlopCounterMode(display=False)
    with counting as counter, _nominal_visits(model) as corrections, saved_flops(model) as saved:
        embedded = objective.embed(part, Noise.of(part))
        x = embedded.embedding
        no_condition = Condition(x.new_zeros(0, x.shape[-1]), part.segment[:0])
        conditions = dict.fromkeys(model.grammar.names, no_condition)
        if embedded.condition is not None:
            conditions[name] = Condition(embedded.condition, part.segment)
        position = torch.arange(len(x), device=x.device)
        with FlopCounterMode(display=False) as of_layers:
            hidden = model.backbone(x, counts, position, no_attention, conditions)
        read_at = torch.zeros(len(part.target), dtype=torch.long, device=x.device)  # only their number matters
        objective.loss(hidden[read_at], embedded)
    in_all, in_layers = (each.get_total_flops() + sum(corrections) for each in (counter, of_layers))
    return in_all, in_layers, sum(saved)


@contextmanager
def _nominal_visits(model: MixtureOfTransformers) -> Iterator[list[float]]:
    """FLOPs to add so that experts count by their settings, as the actual routing of few tokens is random."""
    corrections: list[float] = []
    handles = []
    for mixture in experts_of(model).values():
        flops = 2 * sum(weight[0].numel() for weight in mixture.experts.parameters())  # one token in one expert

        def add_nominal(module: Any, args: tuple[Tensor], output: Tensor, flops: int = flops) -> None:
            corrections.append(module.active * len(args[0]) * flops)

        def subtract_actual(module: Any, args: tuple[Tensor, list[int]], output: Tensor, flops: int = flops) -> None:
            corrections.append(-len(output) * flops)

        handles += [mixture.register_forward_hook(add_nominal), mixture.experts.register_forward_hook(subtract_actual)]
    try:
        yield corrections
    finally:
        for handle in handles:
            handle.remove()
