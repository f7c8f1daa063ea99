"""Divergence: a run whose loss or weights are NaN or infinite ends in one line and keeps its last good checkpoint."""

import math
from collections.abc import Mapping

import torch
from torch import nn

from mot_lightning.training.sharding import full_norm


class Diverged(Exception):
    """A loss, a weight, or the gradients of many steps are NaN or infinite."""


def check_losses(row: Mapping[str, float], step: int) -> None:
    """Raises Diverged if the loss of a modality is NaN or infinite; call it where losses are already on the host."""
    losses = {name: value for name, value in row.items() if name.endswith("/loss")}
    not_finite = [f"{name} is {value}" for name, value in losses.items() if not math.isfinite(value)]
    if not_finite:
        culprits = ", ".join(not_finite[1:] or not_finite)  # the first is the total
        raise Diverged(f"{culprits} at step {step}, wanted a finite number")


@torch.no_grad()
def check_weights(module: nn.Module, step: int) -> None:
    """Raises Diverged if a trained weight is NaN or infinite, so that no checkpoint contains it."""
    norm = float(full_norm(torch.nn.utils.get_total_norm(p for p in module.parameters() if p.requires_grad)))
    if not math.isfinite(norm):
        raise Diverged(f"the norm of all weights is {norm} at step {step}, wanted a finite number")
