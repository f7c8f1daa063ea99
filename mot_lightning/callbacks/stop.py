"""How signals end a run: after the step at hand while it trains, so that its checkpoint is whole, else at once."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import torch
from lightning.pytorch import Callback

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(BaseException):  # as KeyboardInterrupt, so that nobody takes it for a failure of something else
    """A signal asked to stop.

    Args:
        number: of the signal.
        together: whether all ranks stop after the same step.
    """

    def __init__(self, number: int, together: bool = False) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number, self.together = number, together


def _stopped(number: int, main: int) -> BaseException:
    """What a signal raises: in a process that loads data, which inherits the handlers, what Python itself would."""
    if os.getpid() == main:
        return Stopped(number)
    return KeyboardInterrupt() if number == signal.SIGINT else SystemExit(128 + number)


@contextmanager
def stoppable() -> Iterator[None]:
    """Signals end what is within at once, in one line; Lightning alone would say nothing and exit with 1."""

    def stop(number: int, frame: Any) -> NoReturn:
        raise _stopped(number, main)

    main = os.getpid()
    previous = {number: signal.signal(number, stop) for number in SIGNALS}
    try:
        yield
    except Stopped as stopped:
        print(f"\n{stopped}", file=sys.stderr)
        raise SystemExit(128 + stopped.number) from None
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def unstoppable() -> Iterator[None]:
    """Signals are not heard while something is written that has to be whole."""
    previous = {number: signal.signal(number, signal.SIG_IGN) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


class StopOnSignal(Callback):
    """SIGINT and SIGTERM end the run after the step at hand, so that the checkpoint is whole; a second one at once."""

    def __init__(self) -> None:
        self.received = 0
        self.main = os.getpid()
        self.previous: dict[int, Any] = {}

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        self.previous = {number: signal.signal(number, self._receive) for number in SIGNALS}

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        for number, handler in self.previous.items():
            signal.signal(number, handler)
        self.previous = {}

    def _receive(self, number: int, frame: Any) -> None:
        if self.received or os.getpid() != self.main:
            raise _stopped(number, self.main)
        self.received = number  # never communicate inside a handler: another rank may be mid-step

    def _stop_if_asked(self, trainer: Any) -> None:
        number = self.received
        if trainer.world_size > 1:  # all ranks or none
            device = trainer.strategy.root_device
            number = int(trainer.strategy.reduce(torch.tensor(float(number), device=device), reduce_op="max"))
        if number:
            raise Stopped(number, together=True)

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        self._stop_if_asked(trainer)

    def on_validation_batch_end(self, trainer: Any, *_: Any) -> None:
        if trainer.world_size == 1:  # ranks may have different numbers of batches to agree after
            self._stop_if_asked(trainer)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        self._stop_if_asked(trainer)
