"""A callback that makes CUDA synchronisation an error between two steps."""

from typing import Any

import torch
from lightning.pytorch import Callback


class NeverWait(Callback):
    def __init__(self, first: int, last: int) -> None:
        self.modes = {first: "error", last: "default"}

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        if mode := self.modes.get(trainer.global_step):
            torch.cuda.set_sync_debug_mode(mode)
