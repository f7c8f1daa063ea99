"""Signals as exceptions: shielded code is not interrupted, interruptible code exits with one line."""

import gc
import signal
import subprocess
import sys
from contextlib import ExitStack

import pytest

from mot_lightning.signals import SIGNALS, Interrupted, deferred, handled, interruptible, shielded

every_signal = pytest.mark.parametrize("number", SIGNALS)


@every_signal
def test_signal_is_ignored_in_shielded_code(number):
    with interruptible():
        with shielded():
            signal.raise_signal(number)
        with pytest.raises(Interrupted):
            signal.raise_signal(number)


@every_signal
def test_signal_in_deferred_code_is_received_after_it(number):
    steps = []

    def in_two_steps():
        with deferred():
            signal.raise_signal(number)
            steps.append("after the signal")

    with interruptible(), pytest.raises(Interrupted):
        in_two_steps()
    assert steps == ["after the signal"]


@every_signal
def test_interruptible_exits_with_one_line_and_the_shell_exit_code(number, capsys):
    with pytest.raises(SystemExit) as end, interruptible():
        signal.raise_signal(number)
    assert end.value.code == 128 + number
    assert capsys.readouterr().err == f"\nstopped by {signal.Signals(number).name}\n"


@every_signal
def test_signal_handlers_are_restored(number):
    before = signal.getsignal(number)
    with interruptible(), shielded():
        assert signal.getsignal(number) == signal.SIG_IGN
    assert signal.getsignal(number) is before


def test_forked_child_exits_silently_on_signal(tmp_path):
    """For example a data loader worker, which must not print that the run was stopped."""
    program = """
import os, signal, sys
from mot_lightning.signals import interruptible
with interruptible():
    if child := os.fork():
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    signal.raise_signal(signal.SIGTERM)
"""
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert finished.returncode == 128 + signal.SIGTERM
    assert finished.stderr == ""


@every_signal
def test_a_context_that_is_never_left_restores_nothing_later(number):
    """As after an exception in a run: Lightning then calls no teardown."""
    before = signal.getsignal(number)
    with interruptible():
        contexts = ExitStack()
        contexts.enter_context(handled(signal.SIG_DFL))
    del contexts
    gc.collect()
    assert signal.getsignal(number) is before


SWALLOWED = """
import signal, mot_lightning.cli.main as cli

def start(argv):  # as an import with a bare `except` does
    try:
        signal.raise_signal(int(argv[0]))
    except BaseException:
        pass
    print("goes on")

cli._run = start
cli.main()
"""


@every_signal
def test_a_signal_before_a_command_starts_cannot_be_swallowed(number):
    done = subprocess.run([sys.executable, "-c", SWALLOWED, str(int(number))], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (128 + number, "")
    assert done.stderr.strip() == f"stopped by {signal.Signals(number).name}"
