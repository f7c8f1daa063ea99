"""Signals stop a run after its current step, so that the checkpoint is consistent on all ranks."""

import os
import signal
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.pytorch import Callback

from mot_lightning.runs.find import LAST
from mot_lightning.signals import SIGNALS, Interrupted, handled, interruption

REQUEUE = 128  # above all signals, which it comes before


class StopOnSignal(Callback):
    """The first signal stops the run after its current step, on all ranks; a second one stops it immediately.

    In a job of SLURM that Lightning is to put back into the queue, the signal for that does not stop the run: after its
    current step, it writes `last.ckpt` and asks for the job's return, at which SLURM sends SIGTERM.
    """

    def __init__(self) -> None:
        self.received = 0
        self.requeue_signal = 0  # none
        self.requeue = False  # whether it was received
        self.main_process = os.getpid()
        self.handlers = ExitStack()
        self.common_batches = 0.0  # of a validation: as many as the rank with the fewest has

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        # Lightning's handler of SIGTERM, added to ours after this, would communicate with ranks that are mid-step
        trainer._signal_connector._sigterm_notifier_fn = lambda *_: None

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        self.requeue_signal = _requeue_signal(trainer)
        self.handlers.enter_context(handled(self._receive, {*SIGNALS, self.requeue_signal} - {0}))

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        self.handlers.close()
        if self.received:  # after the last step
            number, self.received = self.received, 0
            signal.raise_signal(number)

    def _receive(self, number: int, frame: Any) -> None:
        is_main = os.getpid() == self.main_process
        if is_main and number == self.requeue_signal:
            self.requeue = True  # never communicate inside a handler: another rank may be mid-step
        elif is_main and not self.received:
            self.received = number
        else:
            raise interruption(number, self.main_process)

    def _stop_if_received(self, trainer: Any) -> None:
        number = int(_over_ranks(trainer, REQUEUE if self.requeue else self.received, "max"))  # all ranks or none
        if number == REQUEUE:
            self.requeue = False
            _save_and_requeue(trainer, self.requeue_signal)
        elif number:
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


def _requeue_signal(trainer: Any) -> int:
    """The signal at which Lightning saves a checkpoint and puts the job back in SLURM's queue; 0 if it is not to."""
    environment = trainer._accelerator_connector.cluster_environment
    requeues = isinstance(environment, SLURMEnvironment) and environment.auto_requeue
    return environment.requeue_signal or 0 if requeues else 0


def _save_and_requeue(trainer: Any, number: int) -> None:
    """What Lightning does inside its handler, at any moment of a step; and as `last.ckpt`, which resumes and tests."""
    trainer._checkpoint_connector.hpc_save_path = lambda folder: Path(folder) / "checkpoints" / LAST
    trainer._signal_connector._slurm_sigusr_handler_fn(number, None)
