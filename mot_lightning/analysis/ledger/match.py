"""The dense transformer that costs as much as a model: one tower for all modalities, of another width.

Depth, heads and objectives stay, and the feed-forward width keeps its ratio to the width.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch

from mot_lightning.analysis.ledger.step import step_cost
from mot_lightning.backbone import BackboneSettings
from mot_lightning.backbone.towers import modalities_of
from mot_lightning.model import MixtureOfTransformers
from mot_lightning.parameters import total_parameters
from mot_lightning.sequence import InterleavedBatch

# all weights, embeddings and heads included; those that a token uses; FLOPs of a training step. The latter two are
# means over the tokens of a batch
Quantity = Literal["parameters", "active_parameters", "flops"]
QUANTITIES: tuple[Quantity, ...] = get_args(Quantity)


@dataclass(frozen=True)
class Match:
    """A dense backbone, and the quantity that is matched, of the model and of it."""

    backbone: BackboneSettings
    target: float
    reached: float

    def settings(self) -> list[str]:
        """The command line's settings that make it of the model's config."""
        tower = ", ".join(modalities_of(next(iter(self.backbone.towers.values()))))
        sizes = {"dim": self.backbone.dim, "ffn_dim": self.backbone.ffn_dim}
        lines = [f"--model.backbone.{name}={value}" for name, value in sizes.items()]
        return [*lines, f"--model.backbone.towers='{{all: [{tower}]}}'", "--model.backbone.experts='{}'"]


def match(model: MixtureOfTransformers, batch: InterleavedBatch, quantity: Quantity) -> Match:
    """The dense transformer whose quantity is nearest to that of a model."""
    settings = model.backbone.settings

    def measure(dim: int) -> float:
        return measured(dense(model, settings_at(settings, dim, model.grammar.names)), batch, quantity)

    target = measured(model, batch, quantity)
    # a width that all heads share evenly, with angles for rows and columns
    unit = 8 if settings.head_dim else settings.heads * (4 if settings.rope_2d else 2)
    dim, reached = nearest(measure, target, max(1, settings.dim // unit), unit)
    return Match(settings_at(settings, dim, model.grammar.names), target, reached)


def nearest(measure: Callable[[int], float], target: float, start: int, unit: int) -> tuple[int, float]:
    """The multiple of `unit` whose measure is nearest to a target, and its measure, which grows with it.

    Each try is scaled as if the measure grew with the square; as it grows with the width at least, this converges.
    """
    tried: dict[int, float] = {}
    count = start
    while count not in tried:
        tried[count] = measure(count * unit)
        count = max(1, round(count * math.sqrt(target / tried[count])))
    for beside in (count - 1, count + 1):  # rounding may have stopped it one too early
        if beside >= 1 and beside not in tried:
            tried[beside] = measure(beside * unit)
    best = min(tried, key=lambda count: abs(tried[count] - target))
    return best * unit, tried[best]


def settings_at(settings: BackboneSettings, dim: int, modalities: tuple[str, ...]) -> BackboneSettings:
    """The dense backbone of a width."""
    ffn_dim = round(settings.ffn_dim * dim / settings.dim)
    return replace(settings, dim=dim, ffn_dim=ffn_dim, towers={"all": list(modalities)}, experts={})


def dense(model: MixtureOfTransformers, settings: BackboneSettings) -> MixtureOfTransformers:
    """A model with the objectives of another one and a backbone of its own."""
    objectives = {name: type(each)(**each.init_args) for name, each in model.objectives.items()}
    with torch.random.fork_rng(devices=[]):
        return MixtureOfTransformers(objectives, model.grammar.tokens, model.grammar.control, settings)


def measured(model: MixtureOfTransformers, batch: InterleavedBatch, quantity: Quantity) -> float:
    if quantity == "parameters":
        return total_parameters(model)
    step = step_cost(model, [batch])
    return step.flops if quantity == "flops" else step.active_parameters
