"""Signals stop a run after its current step, so that the checkpoint is consistent on all ranks."""

import os
import signal
from typing import Any

import torch
from lightning.pytorch import Callback

from mot_lightning.signals import SIGNALS, Interrupted, interruption


class StopOnSignal(Callback):
    """The first SIGINT or SIGTERM stops the run after its current step; a second one stops it immediately."""

    def __init__(self) -> None:
        self.received = 0
        self.main_process = os.getpid()
        self.previous: dict[int, Any] = {}

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        self.previous = {number: signal.signal(number, self._receive) for number in SIGNALS}

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        for number, handler in self.previous.items():
            signal.signal(number, handler)
        self.previous = {}

    def _receive(self, number: int, frame: Any) -> None:
        if self.received or os.getpid() != self.main_process:
            raise interruption(number, self.main_process)
        self.received = number  # never communicate inside a handler: another rank may be mid-step

    def _stop_if_received(self, trainer: Any) -> None:
        number = self.received
        if trainer.world_size > 1:  # all ranks or none
            device = trainer.strategy.root_device
            number = int(trainer.strategy.reduce(torch.tensor(float(number), device=device), reduce_op="max"))
        if number:
            raise Interrupted(number, all_ranks=True)

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        self._stop_if_received(trainer)

    def on_validation_batch_end(self, trainer: Any, *_: Any) -> None:
        if trainer.world_size == 1:  # ranks with different numbers of batches could not agree
            self._stop_if_received(trainer)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        self._stop_if_received(trainer)
