"""The ledger: how many parameters and forward FLOPs a token of each modality costs.

Counts what the model runs, by PyTorch's own FLOP counter, with attention over a context of a stated length.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from mot_lightning.backbone.moe import MixtureOfExperts, experts_of
from mot_lightning.model import MixtureOfTransformers
from mot_lightning.seeds import generator_for
from mot_lightning.sequence import InterleavedBatch, Part


class Cost(NamedTuple):
    """What one token of a modality costs in a forward pass."""

    parameters: int  # that it passes through; of embeddings its own row, of experts those it visits
    flops: float  # its share of all matrix products, attention over `context` tokens included
    context: float  # tokens that one attends to, on average


def total_parameters(model: MixtureOfTransformers) -> int:
    return sum(p.numel() for p in model.parameters())


def costs(model: MixtureOfTransformers, batch: InterleavedBatch) -> dict[str, Cost]:
    """The cost of each modality that has tokens in a batch, whose lengths and contexts it is taken at."""
    layout = batch.layout
    reach = layout.reach.flatten()[layout.order].split(list(layout.counts))
    found = {}
    for name, n, seen in zip(model.grammar.groups, layout.counts, reach, strict=True):
        if n:
            context = float(seen.float().mean()) + 1
            settings = model.backbone.settings  # q k^T and its sum of v:
            attention = 4 * settings.heads * settings.head_size * context * settings.depth
            linear = _linear_flops(model, name, batch.parts[name]) / n
            found[name] = Cost(_active_parameters(model, name), linear + attention, context)
    return found


def _active_parameters(model: MixtureOfTransformers, name: str) -> int:
    count = 0
    for module in model.weights_of(name):
        rows = {id(m.weight) for m in module.modules() if isinstance(m, nn.Embedding)}
        rows -= {id(m.weight) for m in module.modules() if isinstance(m, nn.Linear)}  # a tied table is passed whole
        mixtures = [m for m in module.modules() if isinstance(m, MixtureOfExperts)]
        visited = {id(p): m.active / m.settings.count for m in mixtures for p in m.experts.parameters()}
        for p in module.parameters():
            numbers = p.shape[-1] if id(p) in rows else p.numel()
            count += round(numbers * visited.get(id(p), 1))
    return count


@torch.no_grad()
def _linear_flops(model: MixtureOfTransformers, name: str, part: Part) -> int:
    """FLOPs of all that is done to one modality's tokens apart from attention."""
    from mot_lightning.backbone import Condition

    objective = model.objectives[name]
    counts = [len(part.tokens) if other == name else 0 for other in model.grammar.groups]

    def no_attention(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return v.repeat_interleave(q.shape[1] // v.shape[1], dim=1)  # (N, h, e)

    with FlopCounterMode(display=False) as counter, _even_visits(model) as missing:
        view = objective.embed(part, generator_for(0, device=part.tokens.device))
        x = view.embedding
        nothing = Condition(x.new_zeros(0, x.shape[-1]), part.segment[:0])
        conditions = dict.fromkeys(model.grammar.names, nothing)
        if view.condition is not None:
            conditions[name] = Condition(view.condition, part.segment)
        hidden = model.backbone(x, counts, torch.arange(len(x), device=x.device), no_attention, conditions)
        read = torch.zeros(
            len(part.target), dtype=torch.long, device=x.device
        )  # which rows does not matter, how many does
        objective.loss(hidden[read], view)
    return counter.get_total_flops() + round(sum(missing))


@contextmanager
def _even_visits(model: MixtureOfTransformers) -> Iterator[list[float]]:
    """FLOPs that visits to experts lack of what settings promise: where a few tokens happen to go is an accident."""
    missing: list[float] = []
    handles = []
    for mixture in experts_of(model).values():
        visit = 2 * sum(weight[0].numel() for weight in mixture.experts.parameters())

        def promised(module: Any, args: tuple[Tensor], output: Tensor, visit: int = visit) -> None:
            missing.append(module.active * len(args[0]) * visit)

        def made(module: Any, args: tuple[Tensor, list[int]], output: Tensor, visit: int = visit) -> None:
            missing.append(-len(output) * visit)

        handles += [mixture.register_forward_hook(promised), mixture.experts.register_forward_hook(made)]
    try:
        yield missing
    finally:
        for handle in handles:
            handle.remove()
