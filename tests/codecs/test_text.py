"""Text as bytes: whatever is written comes back."""

import math

import pytest
import torch
from hypothesis import given, settings
from texts import texts

from mot_lightning.codecs import Bytes


@given(texts)
@settings(max_examples=50, deadline=None, derandomize=True)
def test_any_text_comes_back(text):
    codec = Bytes()
    ids = codec.encode(text)
    assert ids.dtype == torch.long
    assert ids.shape == (len(text.encode()),)
    assert ((ids >= 0) & (ids < codec.vocab_size)).all()
    assert codec.decode(ids) == text


@pytest.mark.parametrize("text", ["", "a 7", "naïve Straße", "七つ 🎨\u200d", "line\nline\r\n\ttab\0"])
def test_scripts_signs_and_no_text_at_all_come_back(text):
    assert Bytes().decode(Bytes().encode(text)) == text


def test_bytes_that_are_no_text_are_shown_as_such():
    assert Bytes().decode(torch.tensor([0x61, 0xFF, 0x62])) == "a\ufffdb"
    assert Bytes().decode(torch.tensor([0xE4, 0xB8])) == "\ufffd"  # a character cut short


def test_bits_per_byte_by_hand():
    """Two segments of three bytes: eight targets with their stops, in which 12 bits are lost over 6 bytes."""
    assert Bytes().metrics(12 * math.log(2), 8, 6) == {"bits_per_byte": pytest.approx(2.0)}


def test_a_uniform_guess_takes_eight_bits_and_the_stop():
    nats = 5 * math.log(257)  # four bytes and their stop, over 257 ids
    assert Bytes().metrics(nats, 5, 4)["bits_per_byte"] == pytest.approx(5 / 4 * math.log2(257))


def test_nothing_measured_divides_by_nothing():
    assert Bytes().metrics(0.0, 0, 0) == {"bits_per_byte": 0.0}
