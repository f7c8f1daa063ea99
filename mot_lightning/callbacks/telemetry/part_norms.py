"""Where gradients are: their norms in each tower and in each objective."""

from typing import Any

import torch
from lightning.pytorch import Callback
from torch import Tensor, nn

from mot_lightning.training.metrics import is_logged, log_row
from mot_lightning.training.sharding import full_norm


class PartNorms(Callback):
    """Logs `train/tower/<tower>/grad_norm`, named by its modalities, and `train/objective/<modality>/grad_norm`.

    Of the weighted total loss, before clipping. Weights that towers share count in each of them.
    """

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        step = trainer.global_step + 1  # the trainer has not counted this one yet
        if is_logged(trainer, step):
            norms = part_norms(pl_module.model)
            values = torch.stack([full_norm(norm) for norm in norms.values()]).tolist()  # one device sync
            log_row(pl_module, {f"train/{n}/grad_norm": v for n, v in zip(norms, values, strict=True)}, step)


def part_norms(model: Any) -> dict[str, Tensor]:
    """Norms by name, `tower/<tower>` and `objective/<modality>`, of parts that have gradients."""
    parts: dict[str, list[nn.Module]] = {}
    for layer in model.backbone.layers:
        for tower in layer.towers:
            parts.setdefault(f"tower/{'+'.join(tower.modalities)}", []).append(tower)
    parts |= {f"objective/{name}": [objective] for name, objective in model.objectives.items()}
    norms = {}
    for name, modules in parts.items():
        weights = dict.fromkeys(p for module in modules for p in module.parameters() if p.grad is not None)
        if weights:
            norms[name] = torch.nn.utils.get_total_norm([p.grad for p in weights if p.grad is not None])
    return norms
