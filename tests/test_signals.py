"""Signals as exceptions: what is shielded is finished first, what is interruptible ends in one line."""

import signal
import subprocess
import sys

import pytest

from mot_lightning.signals import SIGNALS, Interrupted, interruptible, shielded

every_signal = pytest.mark.parametrize("number", SIGNALS)


@every_signal
def test_what_has_to_be_whole_is_written_before_a_signal_is_heard(number):
    with interruptible():
        with shielded():
            signal.raise_signal(number)
        with pytest.raises(Interrupted):
            signal.raise_signal(number)


@every_signal
def test_what_is_interruptible_ends_in_one_line_with_the_shells_exit_code(number, capsys):
    with pytest.raises(SystemExit) as end, interruptible():
        signal.raise_signal(number)
    assert end.value.code == 128 + number
    assert capsys.readouterr().err == f"\nstopped by {signal.Signals(number).name}\n"


@every_signal
def test_handlers_are_put_back(number):
    before = signal.getsignal(number)
    with interruptible(), shielded():
        assert signal.getsignal(number) == signal.SIG_IGN
    assert signal.getsignal(number) is before


def test_a_process_that_inherited_the_handlers_ends_as_python_itself_would(tmp_path):
    """A worker that loads data is no run: it says nothing of being stopped."""
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
