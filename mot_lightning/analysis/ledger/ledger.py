"""All that a model costs, as one record: of a config before training, and of a run in its `ledger.json`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mot_lightning.analysis.ledger.memory import memory
from mot_lightning.analysis.ledger.parameters import Group, codec_numbers, parameter_groups
from mot_lightning.analysis.ledger.step import StepCost, step_cost
from mot_lightning.module import MoTModule
from mot_lightning.parameters import frozen_parameters
from mot_lightning.sequence import InterleavedBatch


@dataclass(frozen=True)
class Ledger:
    """What a model and its training cost.

    Attributes:
        groups: number of parameters in each.
        codecs: numbers in each codec, which are not trained with the model.
        step: tokens and FLOPs.
        memory: bytes; None where it is unknown.
        recomputes: whether layers are computed again in the backward pass (activation checkpointing).
        frozen: parameters that are not trained.
    """

    groups: Mapping[Group, int]
    codecs: Mapping[str, int]
    step: StepCost
    memory: Mapping[str, int | None]
    recomputes: bool
    frozen: int = 0

    @property
    def parameters(self) -> int:
        return sum(self.groups.values())

    def share(self, *kinds: str) -> float:
        """The fraction of the parameters that is of these kinds."""
        return sum(count for group, count in self.groups.items() if group.kind in kinds) / self.parameters

    def figures(self) -> dict[str, Any]:
        """As plain values."""
        by_modality = self.step.by_modality.items()
        return {
            "parameters": {
                "in_all": self.parameters,
                "frozen": self.frozen,
                "untied_fraction": self.share("untied"),
                "groups": {group.name: count for group, count in self.groups.items()},
                "active": {name: cost.parameters for name, cost in by_modality},
                "codecs": dict(self.codecs),
            },
            "flops": {
                "forward_per_token": {name: cost.flops for name, cost in by_modality},
                "training_per_token": {name: cost.training_flops for name, cost in by_modality},
                "mean_context": {name: cost.context for name, cost in by_modality},
                "tokens_per_step": dict(self.step.tokens),
                "training_per_step": self.step.flops,
                "recomputed_per_step": self.step.layer_flops if self.recomputes else 0,
            },
            "bytes": {name.replace(" ", "_"): size for name, size in self.memory.items()},
        }


def take_ledger(
    module: MoTModule, batches: Sequence[InterleavedBatch], per_step: int = 1, activations: int | None = None
) -> Ledger:
    """The ledger of a module.

    Args:
        per_step: batches of a step, of all ranks.
        activations: bytes, if they were measured.
    """
    model, codecs = module.model, {name: codec_numbers(codec) for name, codec in module.codecs.items()}
    sizes = {**memory(model, module.optimizer), "activations": activations}
    recomputes = model.backbone.settings.activation_checkpointing
    step, frozen = step_cost(model, batches, per_step), frozen_parameters(model)
    return Ledger(parameter_groups(model), codecs, step, sizes, recomputes, frozen)
