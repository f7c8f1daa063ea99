"""A run whose numbers are none any more: it ends in one line, and its last good checkpoint stays."""

import math
from collections.abc import Mapping

import torch
from torch import nn

from mot_lightning.callbacks.gradient_norms import whole_norm


class Diverged(Exception):
    """A loss or a weight is nan or infinite."""


def check_losses(row: Mapping[str, float], step: int) -> None:
    """Raises Diverged where the loss of a modality is no number: looked at where it is read anyway."""
    losses = {name: value for name, value in row.items() if name.endswith("/loss")}
    wrong = [f"{name} is {value}" for name, value in losses.items() if not math.isfinite(value)]
    if wrong:
        raise Diverged(f"{', '.join(wrong[1:] or wrong)} at step {step}, wanted a number")  # the first is all in one


@torch.no_grad()
def check_weights(module: nn.Module, step: int) -> None:
    """Raises Diverged where a trained weight is no number: no checkpoint is to hold it."""
    norm = float(whole_norm(torch.nn.utils.get_total_norm(p for p in module.parameters() if p.requires_grad)))
    if not math.isfinite(norm):
        raise Diverged(f"the norm of all weights is {norm} at step {step}, wanted a number")
