"""How strongly each modality moves the model: the gradient norm of all weights that its tokens pass through."""

from typing import Any

import torch
from lightning.pytorch import Callback
from torch import Tensor

from mot_lightning.model import MixtureOfTransformers
from mot_lightning.training.metrics import is_logged, log_row
from mot_lightning.training.sharding import full_norm


def gradient_norms(model: MixtureOfTransformers) -> dict[str, Tensor]:
    """Norms by modality; weights that modalities share count for each of them."""
    norms = {}
    for name in model.grammar.names:
        weights = dict.fromkeys(p for module in model.weights_of(name) for p in module.parameters())
        gradients = [p.grad for p in weights if p.grad is not None]
        if gradients:  # none if all its weights are frozen
            norms[name] = torch.nn.utils.get_total_norm(gradients)
    return norms


class GradientNorms(Callback):
    """Logs `train/<modality>/grad_norm` with the losses: of the weighted total loss, before clipping.

    Where modalities share weights, the norm of each includes the gradients of the others. A modality without tokens
    and without shared weights has no value.
    """

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        step = trainer.global_step + 1  # the trainer has not counted this one yet
        if is_logged(trainer, step):
            norms = gradient_norms(pl_module.model)
            values = torch.stack([full_norm(norm) for norm in norms.values()]).tolist()  # one device sync
            named = zip(norms, values, strict=True)
            log_row(pl_module, {f"train/{name}/grad_norm": norm for name, norm in named if norm}, step)
