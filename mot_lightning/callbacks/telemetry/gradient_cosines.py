"""Whether modalities pull shared weights the same way: cosines of the gradients of their losses."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from mot_lightning.callbacks.telemetry.probe import Probe
from mot_lightning.errors import ConfigError
from mot_lightning.sequence import InterleavedBatch


class GradientCosines(Probe):
    """Logs `train/<modality>/grad_cosine_with_<other>`, of the backbone's weights that both pass through.

    From -1, where they undo each other, to 1. Costs a forward pass and a backward pass for each modality where it logs.
    Through attention, the loss of a modality has a gradient in the towers of others too: these weights count for both.
    """

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        if getattr(trainer.strategy, "device_mesh", None) is not None:
            raise ConfigError("trainer.callbacks has GradientCosines, wanted it where weights are not sharded")

    def measure(self, pl_module: Any, batch: InterleavedBatch) -> dict[str, float]:
        gradients = gradients_by_modality(pl_module.model, batch, pl_module.seed)
        sizes = [p.numel() for p in pl_module.model.backbone.parameters() if p.requires_grad]
        cosines = {
            f"{one}/grad_cosine_with_{other}": cosine(a.split(sizes), b.split(sizes))
            for (one, a), (other, b) in combinations(gradients.items(), 2)
        }
        return {name: value for name, value in cosines.items() if value is not None}


def cosine(one: Sequence[Tensor], other: Sequence[Tensor]) -> float | None:
    """The cosine of two gradients, given by weight, over the weights in which neither is 0; None if there are none."""
    both = [pair for pair in zip(one, other, strict=True) if all(gradient.any() for gradient in pair)]
    if not both:
        return None
    a, b = map(torch.cat, zip(*both, strict=True))
    return float(torch.nn.functional.cosine_similarity(a, b, dim=0))


def gradients_by_modality(model: Any, batch: InterleavedBatch, seed: int = 0) -> dict[str, Tensor]:
    """The gradient of each modality's mean loss in all weights of the backbone, (p,); of those with targets."""
    with torch.enable_grad():
        losses = model(batch, seed)
        weights = [p for p in model.backbone.parameters() if p.requires_grad]
        gradients = {}
        for name, of_modality in losses.items():
            if (of_modality.weight > 0).any():
                mean = (of_modality.loss * of_modality.weight).sum() / of_modality.weight.sum()
                grads = torch.autograd.grad(mean, weights, retain_graph=True, materialize_grads=True)
                gradients[name] = torch.cat([grad.flatten().float() for grad in grads])
    return gradients
