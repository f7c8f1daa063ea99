"""A callback that makes CUDA synchronisation an error between two steps, from a step's start to its gradients."""

from typing import Any

import torch
from lightning.pytorch import Callback


class NeverWait(Callback):
    def __init__(self, first: int, last: int) -> None:
        self.steps = range(first, last)

    def on_train_batch_start(self, trainer: Any, *_: Any) -> None:
        if trainer.global_step in self.steps:
            torch.cuda.set_sync_debug_mode("error")

    def on_before_optimizer_step(self, *_: Any) -> None:
        torch.cuda.set_sync_debug_mode("default")  # the norm is read: a step that is not finite is skipped
