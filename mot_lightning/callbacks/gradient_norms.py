"""How hard each modality pulls: the norm of the gradient on all weights that its tokens pass."""

from typing import Any

import torch
from lightning.pytorch import Callback
from torch import Tensor

from mot_lightning.model import MixtureOfTransformers


def gradient_norms(model: MixtureOfTransformers) -> dict[str, Tensor]:
    """By modality; weights that several modalities share count for each of them."""
    found = {}
    for name in model.grammar.names:
        weights = dict.fromkeys(p for module in model.weights_of(name) for p in module.parameters())
        found[name] = torch.nn.utils.get_total_norm(p.grad for p in weights if p.grad is not None)
    return found


class GradientNorms(Callback):
    """Logs `train/<modality>/grad_norm` every few steps: of the whole loss, weights included, before clipping.

    Where modalities share weights, each counts the gradient of all who share them. A modality that was absent and
    shares none names nothing.

    Args:
        every_n_steps: training steps from one row to the next.
    """

    def __init__(self, every_n_steps: int = 10) -> None:
        if every_n_steps < 1:
            raise ValueError(f"gradient_norms.every_n_steps is {every_n_steps}, wanted at least 1")
        self.every_n_steps = every_n_steps

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        step = trainer.global_step + 1  # the trainer has not counted this one yet
        if step == 1 or step % self.every_n_steps == 0 or step == trainer.max_steps:
            norms = gradient_norms(pl_module.model)
            numbers = torch.stack([whole_norm(norm) for norm in norms.values()]).tolist()  # the device is asked once
            row = {f"train/{name}/grad_norm": norm for name, norm in zip(norms, numbers, strict=True) if norm}
            for logger in trainer.loggers:
                logger.log_metrics(row, step)


def whole_norm(norm: Tensor) -> Tensor:
    """The norm, where each rank may hold a slice."""
    return norm.full_tensor() if hasattr(norm, "full_tensor") else norm
