"""Errors in one line."""

import pytest
import torch

from mot_lightning.errors import describe, escaped, say


class Broken:
    def __init__(self):
        raise KeyError("gone")


def test_error_without_the_value_names_the_class_that_raised_it():
    with pytest.raises(KeyError) as raised:
        Broken()
    assert describe(raised.value, "the experiment") == "Broken failed: KeyError: 'gone'"
    assert describe(ZeroDivisionError("a\nb"), "the data") == "the data failed: ZeroDivisionError: a b"
    assert describe(ValueError("x is 5, wanted 6"), "the data") == "x is 5, wanted 6"


def test_control_characters_are_shown():
    assert escaped("a\x1b[31m\r\u202e\x9b\tb\n\u00e9") == "a\\x1b[31m\\r\\u202e\\x9b\tb\n\u00e9"


def test_lines_are_printed_with_their_control_characters_shown(capsys):
    say("a\x1b[31m\udcff", "b\r")  # a file's name of a byte that is not UTF-8 cannot be printed as it is
    assert capsys.readouterr().out == "a\\x1b[31m\\udcff\nb\\r\n"


def allocate():
    torch.empty(2**62, dtype=torch.uint8)


@pytest.mark.parametrize("make", [allocate, lambda: torch.empty(2**40, 2**40), lambda: bytes(2**62)])
def test_memory_that_runs_out_is_said(make):
    with pytest.raises((RuntimeError, MemoryError)) as raised:
        make()
    line = describe(raised.value, "the experiment")
    assert line.startswith("the experiment cannot allocate its memory, wanted smaller sizes")
    assert "frame #" not in line
    assert "\n" not in line
