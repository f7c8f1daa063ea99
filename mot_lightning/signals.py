"""SIGINT and SIGTERM as exceptions: interruptible code stops with a one-line message, shielded code finishes first."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(BaseException):  # like KeyboardInterrupt: `except Exception` must not catch it
    """SIGINT or SIGTERM was received.

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


@contextmanager
def interruptible() -> Iterator[None]:
    """In this context, a signal stops the process immediately, with one line and exit code 128 plus its number."""

    def interrupt(number: int, frame: Any) -> NoReturn:
        raise interruption(number, main_process)

    main_process = os.getpid()
    previous = {number: signal.signal(number, interrupt) for number in SIGNALS}
    try:
        yield
    except Interrupted as interrupted:
        print(f"\n{interrupted}", file=sys.stderr)
        raise SystemExit(128 + interrupted.number) from None
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def shielded() -> Iterator[None]:
    """In this context, signals are ignored: for writes that must not be cut short."""
    previous = {number: signal.signal(number, signal.SIG_IGN) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
