"""Signals as exceptions: interruptible code stops with a one-line message, shielded code finishes first."""

import os
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

# of people and schedulers: a closed terminal, a warning before the end of a job, the end of its CPU time
NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU")
SIGNALS = tuple(getattr(signal, name) for name in NAMES if hasattr(signal, name))


class Interrupted(BaseException):  # like KeyboardInterrupt: `except Exception` must not catch it
    """One of SIGNALS was received.

    Args:
        number: the signal's number.
        all_ranks: whether all ranks stop after the same step.
    """

    def __init__(self, number: int, all_ranks: bool = False) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number, self.all_ranks = number, all_ranks


def interruption(number: int, main_process: int) -> BaseException:
    """The exception for a signal; in a data loader worker, which inherits the handlers, Python's default one."""
    if os.getpid() == main_process:
        return Interrupted(number)
    return KeyboardInterrupt() if number == signal.SIGINT else SystemExit(128 + number)


class handled:
    """In this context, signals have a handler, except those that are ignored, as SIGHUP is by `nohup`.

    Not a generator: one that is not left would restore its handlers when it is collected, at any time.
    """

    def __init__(self, handler: Any, signals: Iterable[int] = SIGNALS) -> None:
        self.handler, self.signals = handler, signals
        self.previous: dict[int, Any] = {}

    def __enter__(self) -> None:
        before = {number: signal.getsignal(number) for number in self.signals}
        self.previous = {number: handler for number, handler in before.items() if handler is not signal.SIG_IGN}
        for number in self.previous:
            signal.signal(number, self.handler)

    def __exit__(self, *_: Any) -> None:
        for number, handler in self.previous.items():
            signal.signal(number, handler)
        self.previous = {}


def end_process(number: int, frame: Any) -> NoReturn:
    """A handler: ends the process. An exception inside an import may be swallowed, or leave a module half imported."""
    os.write(2, f"\nstopped by {signal.Signals(number).name}\n".encode())
    os._exit(128 + number)


@contextmanager
def interruptible() -> Iterator[None]:
    """In this context, a signal stops the process immediately, with one line and exit code 128 plus its number."""

    def interrupt(number: int, frame: Any) -> NoReturn:
        raise interruption(number, main_process)

    main_process = os.getpid()
    try:
        with handled(interrupt):
            yield
    except Interrupted as interrupted:
        print(f"\n{interrupted}", file=sys.stderr)
        raise SystemExit(128 + interrupted.number) from None


@contextmanager
def deferred() -> Iterator[None]:
    """In this context, signals wait; they are received at its end."""
    received: list[int] = []
    try:
        with handled(lambda number, frame: received.append(number)):
            yield
    finally:
        for number in received:
            signal.raise_signal(number)


@contextmanager
def shielded() -> Iterator[None]:
    """In this context, signals are ignored: for writes that must not be cut short."""
    with handled(signal.SIG_IGN):
        yield
