"""Steps whose gradients are NaN or infinite are skipped, by all ranks together, and counted."""

import math
import sys
from typing import Any

import torch
from torch import nn

from mot_lightning.training.divergence import Diverged, check_weights
from mot_lightning.training.sharding import full_norm


class SkippedSteps:
    """Skipped optimizer steps since the start of the run.

    Args:
        limit: skipped steps in a row; one more ends the run.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.total, self.in_row = 0, 0

    def check(self, module: Any, norm: float) -> bool:
        """Whether the current step of a module is to be skipped; rank 0 prints why.

        Args:
            norm: of all gradients, over all ranks.

        Raises:
            Diverged: too many steps were skipped in a row, or a weight is NaN or infinite.
        """
        if math.isfinite(norm):
            self.in_row = 0
            return False
        number = module.global_step + 1  # the trainer has not counted this one yet
        check_weights(module, number)
        self.total, self.in_row = self.total + 1, self.in_row + 1
        cause = (
            "; ".join(filter(None, _of_all_ranks(module.trainer, module.step.culprits()))) or "all losses are finite"
        )
        message = f"the gradient norm of step {number} is {norm} ({cause})"
        if self.in_row > self.limit:
            raise Diverged(f"{message}, wanted a finite one after {self.limit} skipped steps")
        if module.trainer.is_global_zero:
            print(f"\n{message}: the step is skipped", file=sys.stderr)
        return True

    def row(self) -> dict[str, float]:
        """What is logged beside the losses, if a step was skipped."""
        return {"train/skipped_steps": self.total} if self.total else {}


def clip_or_drop(module: Any, optimizer: Any, limit: float | None, algorithm: str | None) -> None:
    """Clip the gradients of a module's current step, or drop them if their norm is NaN or infinite.

    Args:
        limit, algorithm: `gradient_clip_val` and `gradient_clip_algorithm` of Trainer.
    """
    weights = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    norm = nn.utils.get_total_norm([p.grad for p in weights])
    if module.skipped_steps.check(module, float(full_norm(norm))):
        optimizer.zero_grad()
    elif limit and algorithm == "value":
        module.clip_gradients(optimizer, limit, algorithm)
    elif limit:
        nn.utils.clip_grads_with_norm_(weights, limit, norm)


def _of_all_ranks(trainer: Any, text: str) -> list[str]:
    texts = [text] * trainer.world_size
    if trainer.world_size > 1:
        torch.distributed.all_gather_object(texts, text)
    return texts
