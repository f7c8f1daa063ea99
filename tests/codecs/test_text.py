"""Text as bytes."""

import math

import pytest
import torch
from hypothesis import given, settings
from texts import texts

from mot_lightning.codecs import Bytes


@given(texts)
@settings(max_examples=50, deadline=None, derandomize=True)
def test_random_text_round_trips(text):
    codec = Bytes()
    ids = codec.encode(text)
    assert ids.dtype == torch.long
    assert ids.shape == (len(text.encode()),)
    assert ((ids >= 0) & (ids < codec.vocab_size)).all()
    assert codec.decode(ids) == text


@pytest.mark.parametrize("text", ["", "a 7", "naïve Straße", "七つ 🎨\u200d", "line\nline\r\n\ttab\0"])
def test_unicode_control_characters_and_empty_text_round_trip(text):
    assert Bytes().decode(Bytes().encode(text)) == text


def test_invalid_utf8_decodes_to_replacement_characters():
    assert Bytes().decode(torch.tensor([0x61, 0xFF, 0x62])) == "a\ufffdb"
    assert Bytes().decode(torch.tensor([0xE4, 0xB8])) == "\ufffd"  # a truncated character


def test_bits_per_byte_match_a_hand_computation():
    """Two segments of three bytes: eight targets with the stop ids, 12 bits over 6 bytes."""
    assert Bytes().metrics(12 * math.log(2), 8, 6) == {"bits_per_byte": pytest.approx(2.0)}


def test_bits_per_byte_of_uniform_predictions_include_the_stop_id():
    nats = 5 * math.log(257)  # four bytes and their stop, over 257 ids
    assert Bytes().metrics(nats, 5, 4)["bits_per_byte"] == pytest.approx(5 / 4 * math.log2(257))


def test_bits_per_byte_of_no_targets_are_zero():
    assert Bytes().metrics(0.0, 0, 0) == {"bits_per_byte": 0.0}
