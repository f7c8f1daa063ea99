"""Errors in one line."""

import pytest

from mot_lightning.errors import describe, escaped


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
