"""MixtureOfTransformers: the objectives of all modalities around one backbone. Embed -> backbone -> unreduced losses.

Knows tokens, not media; codecs, trainer and optimizer are left to `module.py`.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from mot_lightning.backbone import Backbone, BackboneSettings, Condition, build_attention
from mot_lightning.errors import ConfigError
from mot_lightning.noise import Noise
from mot_lightning.objectives import Objective
from mot_lightning.objectives.base import ControlObjective, Embedded
from mot_lightning.objectives.compatibility import incompatible
from mot_lightning.sequence import Grammar, InterleavedBatch, ModalityBatch, Tokens


class Losses(NamedTuple):
    """The unreduced losses of the t targets of one modality in one batch."""

    loss: Tensor  # (t,)
    weight: Tensor  # (t,) 1, or 0 for targets without a loss
    content: Tensor  # (t,) bool: False for control tokens


class MixtureOfTransformers(nn.Module):
    """A transformer over interleaved modalities, each with its own weights and objective.

    Args:
        objectives: one for each modality; the model calls their `build`.
        tokens: description of the tokens of each modality.
        control: the discrete modality whose vocabulary has the control tokens.
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
            if objective.predicts and objective.discrete != tokens[name].discrete:
                raise ValueError(incompatible(name, objective, tokens[name]))
        conditioned = frozenset(name for name, objective in objectives.items() if objective.adaptive_norm)
        grids = {name: kind.grid for name, kind in tokens.items() if kind.grid}
        self.backbone = Backbone(settings, sorted(objectives), conditioned, grids)
        causal = {name: objective.causal for name, objective in objectives.items()}
        observed = [name for name, objective in objectives.items() if not objective.predicts]
        self.grammar = Grammar(tokens, causal, control, self.backbone.modalities, observed)
        if not isinstance(objectives[control], ControlObjective):
            learner = type(objectives[control]).__name__
            raise ValueError(
                f"control is {control!r}, learned by {learner}, wanted an objective that has `choose`: NextToken"
            )
        self.objectives = nn.ModuleDict({name: objectives[name] for name in self.grammar.names})  # type: ignore[assignment]
        for name, objective in self.objectives.items():
            objective.build(settings.dim, self.grammar.complete(name))

    @property
    def control(self) -> ControlObjective:
        """The objective that embeds and predicts control tokens."""
        objective: Any = self.objectives[self.grammar.control]
        return objective

    def forward(self, batch: InterleavedBatch, seed: int = 0) -> dict[str, Losses]:
        """Losses of a batch, by modality; noise and diffusion times are functions of the seed and of each segment's.

        Raises:
            TypeError: the batch is no `InterleavedBatch`.
        """
        if not isinstance(batch, InterleavedBatch):
            what = "wanted an InterleavedBatch, as an InterleavedDataModule and pack(...) give"
            raise TypeError(f"the batch is of type {type(batch).__name__}, {what}")
        layout, parts = batch.layout, batch.by_modality
        embedded: dict[str, Embedded] = {
            name: o.embed(parts[name], Noise.of(parts[name], seed)) for name, o in self.objectives.items()
        }
        x = torch.cat([embedded[name].embedding for name in self.grammar.groups])  # (N, d)
        hidden = self.backbone(
            x,
            layout.counts,
            layout.position.flatten()[layout.slot],
            build_attention(self.backbone.settings.attention, layout, x.dtype, self.backbone.visibility),
            {
                name: Condition(e.condition, parts[name].segment, self.grammar.tokens[name].length)
                for name, e in embedded.items()
                if e.condition is not None
            },
        )
        return {
            name: self.losses(objective, hidden, embedded[name], parts[name])
            for name, objective in self.objectives.items()
        }

    @staticmethod
    def losses(objective: Objective, hidden: Tensor, embedded: Embedded, part: ModalityBatch) -> Losses:
        """Losses of a modality, from all hidden states (N, d).

        Raises:
            ConfigError: the objective does not return one loss for each target.
        """
        loss = objective.loss(hidden.index_select(0, part.read_at), embedded)  # (t,)
        if loss.shape != part.weight.shape:
            seen, name = tuple(loss.shape), type(objective).__name__
            raise ConfigError(f"{name}.loss returned {seen}, wanted {tuple(part.weight.shape)}, a loss for each target")
        return Losses(loss, part.weight, part.content)

    def weights_of(self, name: str) -> list[nn.Module]:
        """All modules that a token of one modality passes through."""
        return [*self.backbone.weights_of(name), self.objectives[name]]

    def untouched(self, present: Mapping[str, bool]) -> list[nn.Parameter]:
        """Parameters that no token passes through, if only the modalities marked in `present` have tokens."""
        if all(present.values()):
            return []
        used = [module for name, is_present in present.items() if is_present for module in self.weights_of(name)]
        touched = {id(parameter) for module in used for parameter in module.parameters()}
        return [parameter for parameter in self.parameters() if id(parameter) not in touched]
