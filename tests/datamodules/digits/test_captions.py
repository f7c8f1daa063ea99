"""Captions say what stands beside them, and the digit that they name is read again."""

import re

import numpy as np
import pytest

from datamodules.digits.captions import PLAIN, SPOKEN, WORDS, WRITTEN, caption, named_digit


def test_captions_name_their_digit_in_at_least_six_templates():
    rng = np.random.default_rng(0)
    templates = set()
    for _ in range(2000):
        digit, image, sound = int(rng.integers(10)), bool(rng.integers(2)), bool(rng.integers(2))
        text = caption(digit, image, sound, rng)
        template = re.sub(rf"\b{WORDS[digit]}\b", "{}", text)
        assert template.count("{}") == 1
        templates.add(template)
    assert templates == {*WRITTEN, *SPOKEN, *PLAIN}
    assert len(templates) >= 6


def test_captions_speak_of_what_stands_beside_them():
    rng = np.random.default_rng(0)
    for image, sound, templates in ((1, 0, WRITTEN), (0, 1, SPOKEN), (1, 1, WRITTEN + SPOKEN), (0, 0, PLAIN)):
        expected = {template.format("four") for template in templates}
        assert {caption(4, bool(image), bool(sound), rng) for _ in range(200)} == expected


@pytest.mark.parametrize("template", [*WRITTEN, *SPOKEN, *PLAIN])
def test_the_named_digit_of_a_caption_is_read(template):
    assert [named_digit(template.format(word)) for word in WORDS] == list(range(10))


@pytest.mark.parametrize("text", ["", "nothing of the kind", "it is a fxur"])
def test_no_digit_is_read_where_none_is_named(text):
    assert named_digit(text) == -1
