"""How strongly each modality moves the model: the gradient norm of all weights that its tokens pass through."""

from collections.abc import Iterable
from typing import Any

import torch
from lightning.pytorch import Callback
from torch import Tensor, nn

from mot_lightning.model import MixtureOfTransformers
from mot_lightning.training.metrics import is_logged, log_row
from mot_lightning.training.sharding import full_norm


class GradientNorms(Callback):
    """Logs `train/<modality>/grad_norm` with the losses: of the weighted total loss, before clipping.

    Where modalities share weights, the norm of each includes the gradients of the others. What has no gradients, such
    as a modality without tokens and without shared weights, has no value.

    Args:
        parts: also those of `train/tower/<tower>/grad_norm`, named by its modalities, and of
            `train/objective/<modality>/grad_norm`.
    """

    def __init__(self, parts: bool = False) -> None:
        self.parts = parts

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        step = trainer.global_step + 1  # the trainer has not counted this one yet
        if is_logged(trainer, step):
            norms = gradient_norms(pl_module.model, self.parts)
            values = torch.stack([full_norm(norm) for norm in norms.values()]).tolist()  # one device sync
            named = zip(norms, values, strict=True)
            log_row(pl_module, {f"train/{name}/grad_norm": norm for name, norm in named if norm}, step)


def gradient_norms(model: MixtureOfTransformers, parts: bool = False) -> dict[str, Tensor]:
    """Norms by modality, and by part if asked for; weights that several share count for each of them."""
    modules: dict[str, list[nn.Module]] = {name: list(model.weights_of(name)) for name in model.grammar.names}
    if parts:
        for tower in model.backbone.towers:
            modules[f"tower/{'+'.join(tower)}"] = [x for name in tower for x in model.backbone.weights_of(name)]
        modules |= {f"objective/{name}": [objective] for name, objective in model.objectives.items()}
    gradients = {name: _gradients(of_name) for name, of_name in modules.items()}
    return {name: torch.nn.utils.get_total_norm(some) for name, some in gradients.items() if some}


def _gradients(modules: Iterable[nn.Module]) -> list[Tensor]:
    """Gradients of the weights of modules; none if all are frozen."""
    weights = dict.fromkeys(p for module in modules for p in module.parameters())
    return [p.grad for p in weights if p.grad is not None]
