"""Signals stop a run after its current step, so that the checkpoint is consistent on all ranks."""

import os
import signal
from contextlib import ExitStack
from typing import Any

import torch
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.pytorch import Callback

from mot_lightning.signals import SIGNALS, Interrupted, handled, interruption


class StopOnSignal(Callback):
    """The first signal stops the run after its current step, on all ranks; a second one stops it immediately."""

    def __init__(self) -> None:
        self.received = 0
        self.main_process = os.getpid()
        self.handlers = ExitStack()
        self.common_batches = 0.0  # of a validation: as many as the rank with the fewest has

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        lightnings = _requeue_signals(trainer)  # it takes a signal that no one handles yet
        self.handlers.enter_context(handled(signal.SIG_DFL, lightnings))
        self.handlers.enter_context(handled(self._receive, [s for s in SIGNALS if s not in lightnings]))
        # Lightning's handler of SIGTERM, added to ours after this, would communicate with ranks that are mid-step
        trainer._signal_connector._sigterm_notifier_fn = lambda *_: None

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        self.handlers.close()

    def _receive(self, number: int, frame: Any) -> None:
        if self.received or os.getpid() != self.main_process:
            raise interruption(number, self.main_process)
        self.received = number  # never communicate inside a handler: another rank may be mid-step

    def _stop_if_received(self, trainer: Any) -> None:
        if number := int(_over_ranks(trainer, self.received, "max")):  # all ranks or none
            raise Interrupted(number, all_ranks=True)

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        self._stop_if_received(trainer)

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        self.common_batches = _over_ranks(trainer, min(trainer.num_val_batches), "min")

    def on_validation_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if batch_idx < self.common_batches:
            self._stop_if_received(trainer)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        self._stop_if_received(trainer)


def stops(trainer: Any) -> bool:
    """Whether this process has received a signal, so that the run stops as soon as all ranks have agreed."""
    return any(callback.received for callback in trainer.callbacks if isinstance(callback, StopOnSignal))


def _over_ranks(trainer: Any, value: float, operation: str) -> float:
    if trainer.world_size == 1:
        return value
    tensor = torch.tensor(float(value), device=trainer.strategy.root_device)
    return float(trainer.strategy.reduce(tensor, reduce_op=operation))


def _requeue_signals(trainer: Any) -> list[int]:
    """The signal at which Lightning saves a checkpoint and puts the job back in SLURM's queue, if it is to do so."""
    environment = trainer._accelerator_connector.cluster_environment
    requeues = isinstance(environment, SLURMEnvironment) and environment.auto_requeue
    return [environment.requeue_signal] if requeues else []
