"""Ranks that a run launches end with it: a signal to any of them ends all, with exit code 128 plus its number."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import torch
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher

from mot_lightning.signals import SIGNALS, Interrupted, deferred

GRACE = 3.0  # seconds that a rank has to end by itself, once another one has
RANK_0 = "MOT_LIGHTNING_RANK_0"  # environment variable of a launched rank: the process id of the one that launched it


class Launcher(_SubprocessScriptLauncher):
    """Lightning's launcher, with another observer of the ranks that it launches.

    Lightning's kills rank 0 with SIGKILL as soon as another rank has ended, also where both end after one signal.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.launched: list[subprocess.Popen[bytes]] = []
        self.ending = threading.Event()  # this process ends by itself

    def launch(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        if rank_0 := os.environ.pop(RANK_0, None):
            end_with(int(rank_0))
        try:
            return super().launch(function, *args, **kwargs)
        except BaseException as error:
            self.ending.set()
            if isinstance(error, Interrupted) and not error.all_ranks:
                self._send(error.number)
            raise

    def _call_children_scripts(self) -> None:
        with deferred():  # a process that is started is listed
            os.environ[RANK_0] = str(os.getpid())
            super()._call_children_scripts()
            del os.environ[RANK_0]
            self.launched, self.procs = self.procs, []  # Lightning's observer has nothing to observe
            self._note_signals()
            threading.Thread(target=self._observe, daemon=True, name="observer of ranks").start()

    def _note_signals(self) -> None:
        """Let Python write signals to `wakeup` as they arrive; handlers run only between Python's instructions."""
        self.received, self.wakeup = socket.socketpair()
        for end in (self.received, self.wakeup):
            end.setblocking(False)
        signal.set_wakeup_fd(self.wakeup.fileno(), warn_on_full_buffer=False)
        os.register_at_fork(after_in_child=lambda: signal.set_wakeup_fd(-1))  # workers have signals of their own

    def _observe(self) -> None:
        """Pass on the signal that has ended another rank; end this process if it stays blocked, as in a collective."""
        while not (code := next((code for process in self.launched if (code := process.poll())), 0)):
            if self.ending.wait(0.1):
                return
            if number := self._blocked_at():
                self._send(number)
        number = _signal_of(code)
        if number and not self.ending.is_set():
            signal.pthread_kill(threading.main_thread().ident or 0, number)
        if not self.ending.wait(GRACE):
            failed = f"error: another rank ended with exit code {code}"
            print(
                f"\nstopped by {signal.Signals(number).name}" if number else f"\n{failed}", file=sys.stderr, flush=True
            )
            self._kill()
            os._exit(128 + number if number else 1)

    def _blocked_at(self) -> int:
        """The signal that this process received as it waits for ranks that start, which may take long; 0 for none."""
        try:
            number = self.received.recv(1)[0]
        except BlockingIOError:
            return 0
        starting = number in SIGNALS and not torch.distributed.is_initialized()
        return number if starting and not self.ending.wait(0.5) else 0

    def end(self) -> int:
        """Wait until all ranks have ended, and kill those that do not; the number of a signal that ended one, or 0."""
        self.ending.set()
        if self.launched:
            signal.set_wakeup_fd(-1)
        until = time.monotonic() + GRACE
        try:
            for process in self.launched:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(max(0.0, until - time.monotonic()))
        finally:
            self._kill()
        return next((number for process in self.launched if (number := _signal_of(process.returncode or 0))), 0)

    def _send(self, number: int) -> None:
        for process in self.launched:
            process.send_signal(number)

    def _kill(self) -> None:
        for process in self.launched:
            process.kill()


def end_with(rank_0: int) -> None:
    """End this process once rank 0, its parent, is gone: it may be killed while this one waits to connect to it."""

    def watch() -> None:
        while os.getppid() == rank_0:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="observer of rank 0").start()


def watch_ranks(strategy: Any) -> None:
    """Make a strategy that launches its ranks use `Launcher`."""
    launcher = strategy.launcher
    if type(launcher) is _SubprocessScriptLauncher:
        strategy._launcher = Launcher(launcher.cluster_environment, launcher.num_processes, launcher.num_nodes)


@contextlib.contextmanager
def ended_together(strategy: Any) -> Iterator[None]:
    """After this context, no rank that was launched in it is left.

    Raises:
        Interrupted: an error followed from a signal to another rank.
    """
    launcher = strategy.launcher
    if not isinstance(launcher, Launcher):
        yield
        return
    try:
        yield
    except Exception:
        if number := launcher.end():
            raise Interrupted(number) from None
        raise
    finally:
        launcher.end()


def _signal_of(code: int) -> int:
    """The number of the signal that a process ended by, from its exit code; 0 if it ended otherwise."""
    number = -code if code < 0 else code - 128
    return number if number in SIGNALS else 0
