"""MixtureOfTransformers: every modality's objective around one backbone. Embed -> backbone -> unreduced losses.

Knows tokens, not media: codecs, the trainer and optimisation live above.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mot_lightning import objectives as ours
from mot_lightning.backbone import Backbone, BackboneSettings, Condition, joined
from mot_lightning.backbone.feed_forward import SwiGLU
from mot_lightning.backbone.moe import Bank, ExpertChoice, MixtureOfExperts
from mot_lightning.backbone.tower import AdaptiveNorm, TowerLayer
from mot_lightning.objectives import NextToken, Objective, Regression
from mot_lightning.objectives.base import View
from mot_lightning.objectives.ids import Ids
from mot_lightning.objectives.latent_io import LinearIO, UNetIO
from mot_lightning.sequence import Grammar, InterleavedBatch, Part, Tokens


class Losses(NamedTuple):
    """One modality's losses in one batch, unreduced."""

    loss: Tensor  # (t,)
    weight: Tensor  # (t,) 1, or 0 where there is no loss
    content: Tensor  # (t,) bool: False for control tokens


class MixtureOfTransformers(nn.Module):
    """A transformer over interleaved modalities, each with weights and an objective of its own.

    Args:
        objectives: by modality; built here.
        tokens: what each modality's codec makes.
        control: the discrete modality that owns the control tokens.
        backbone: size, shape and towers.

    Raises:
        ValueError: an objective does not fit its modality's tokens, or a setting is out of range.
    """

    objectives: Mapping[str, Objective]

    def __init__(
        self,
        objectives: Mapping[str, Objective],
        tokens: Mapping[str, Tokens],
        control: str,
        backbone: BackboneSettings | None = None,
    ) -> None:
        super().__init__()
        settings = backbone or BackboneSettings()
        for name, objective in objectives.items():
            if objective.discrete != tokens[name].discrete:
                raise ValueError(misfit(name, objective, tokens[name]))
        conditioned = frozenset(name for name, objective in objectives.items() if objective.conditions)
        grids = {name: kind.grid for name, kind in tokens.items() if kind.grid}
        self.backbone = Backbone(settings, sorted(objectives), conditioned, grids)
        causal = {name: objective.causal for name, objective in objectives.items()}
        self.grammar = Grammar(tokens, causal, control, self.backbone.modalities)
        self.objectives = nn.ModuleDict({name: objectives[name] for name in self.grammar.names})  # type: ignore[assignment]
        for name, objective in self.objectives.items():
            kind = tokens[name]
            objective.build(settings.dim, replace(kind, vocab_size=self.grammar.ids(name)) if kind.discrete else kind)
        initialise(self)

    @property
    def control(self) -> NextToken:
        """The objective that embeds and predicts control tokens."""
        objective = self.objectives[self.grammar.control]
        assert isinstance(objective, NextToken)
        return objective

    def forward(self, batch: InterleavedBatch, generator: torch.Generator) -> dict[str, Losses]:
        """Losses of a batch; noise and times are drawn from the generator."""
        layout, parts = batch
        views: dict[str, View] = {name: o.embed(parts[name], generator) for name, o in self.objectives.items()}
        x = torch.cat([views[name].embedding for name in self.grammar.groups])  # (N, d)
        hidden = self.backbone(
            x,
            layout.counts,
            layout.position.flatten()[layout.order],
            joined(self.backbone.settings.attention, layout, x.dtype),
            {
                name: Condition(view.condition, parts[name].segment, self.grammar.tokens[name].length)
                for name, view in views.items()
                if view.condition is not None
            },
        )
        return {
            name: self._losses(objective, hidden, views[name], parts[name])
            for name, objective in self.objectives.items()
        }

    @staticmethod
    def _losses(objective: Objective, hidden: Tensor, view: View, part: Part) -> Losses:
        return Losses(objective.loss(hidden.index_select(0, part.read), view), part.weight, part.content)

    def weights_of(self, name: str) -> list[nn.Module]:
        """All modules that a token of one modality passes."""
        return [*self.backbone.weights_of(name), self.objectives[name]]

    def untouched(self, present: Mapping[str, bool]) -> list[nn.Parameter]:
        """Weights that no token passes when only some modalities are present."""
        if all(present.values()):
            return []
        passed = [module for name, here in present.items() if here for module in self.weights_of(name)]
        touched = {id(parameter) for module in passed for parameter in module.parameters()}
        return [parameter for parameter in self.parameters() if id(parameter) not in touched]


def misfit(name: str, objective: Objective, tokens: Tokens) -> str:
    """Why an objective cannot learn and make a modality's tokens, and what could."""
    classes = [getattr(ours, word) for word in ours.__all__]
    fitting = [own.__name__ for own in classes if own is not Objective and own.fits(tokens)]
    made, wanted = ("ids" if discrete else "latents" for discrete in (tokens.discrete, objective.discrete))
    if made == wanted:  # then it is their number that does not fit
        made, wanted = f"{made} of any number", f"{wanted} of a fixed number"
    return (
        f"{type(objective).__name__} does not fit modality {name!r}: its codec makes {made}, wanted "
        f"{' or '.join([*fitting, f'a codec that makes {wanted}'])}"
    )


def initialise(model: MixtureOfTransformers) -> None:
    """Draw all weights.

    | weights | distribution |
    |---|---|
    | linear layers, experts | normal, variance 1 / inputs: signals keep their scale at any width |
    | projections back into the residual (W_O, down) | the same over 2 depth (GPT-2) |
    | embeddings of ids and places | standard normal, the scale of a projected latent |
    | tables that embed and predict | normal, variance 1 / dim, as what they embed is multiplied by sqrt(dim) |
    | heads over ids, routers | normal, standard deviation 0.02: a first guess that is nearly uniform |
    | adaptive norms, outputs of latents | zero: a block starts as an unconditioned one (DiT) |
    | biases | zero |
    | convolutions | PyTorch's own |
    | norms | one |
    """
    scale = special_scales(model)
    for module in model.modules():
        if isinstance(module, Bank):
            _, inputs, dim = module.down.shape
            nn.init.normal_(module.gate_up, std=dim**-0.5)
            nn.init.normal_(module.down, std=inputs**-0.5 / math.sqrt(2 * model.backbone.settings.depth))
        if isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight)
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=scale.get(module, module.in_features**-0.5))
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def special_scales(model: MixtureOfTransformers) -> dict[nn.Module, float]:
    """Standard deviations of the linear layers that depart from 1 / sqrt(inputs)."""
    found: dict[nn.Module, float] = {}
    branches = math.sqrt(2 * model.backbone.settings.depth)
    for module in model.modules():
        if isinstance(module, TowerLayer):
            found[module.output] = module.output.in_features**-0.5 / branches
        elif isinstance(module, SwiGLU):
            found[module.down] = module.down.in_features**-0.5 / branches
        elif isinstance(module, MixtureOfExperts):
            found[module.router] = 0.02
            if isinstance(module, ExpertChoice):
                found[module.predictor] = 0.02
        elif isinstance(module, AdaptiveNorm):
            found[module.linear] = 0.0
        elif isinstance(module, LinearIO | UNetIO | Regression):
            found[module.output] = 0.0
        elif isinstance(module, Ids):
            found[module.head] = module.head.in_features**-0.5 if module.tie else 0.02
    return found
