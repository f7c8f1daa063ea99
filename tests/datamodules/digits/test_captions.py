"""Captions match the media of their document, and the digit they name can be parsed."""

import re

import numpy as np
import pytest

from datamodules.digits.captions import PLAIN, SPOKEN, WORDS, WRITTEN, caption, named_digit


def test_captions_name_their_digit_once_in_at_least_six_templates():
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


def test_caption_templates_match_the_media_of_the_document():
    rng = np.random.default_rng(0)
    for image, sound, templates in ((1, 0, WRITTEN), (0, 1, SPOKEN), (1, 1, WRITTEN + SPOKEN), (0, 0, PLAIN)):
        expected = {template.format("four") for template in templates}
        assert {caption(4, bool(image), bool(sound), rng) for _ in range(200)} == expected


@pytest.mark.parametrize("template", [*WRITTEN, *SPOKEN, *PLAIN])
def test_named_digit_is_parsed_from_every_template(template):
    assert [named_digit(template.format(word)) for word in WORDS] == list(range(10))


@pytest.mark.parametrize("text", ["", "nothing of the kind", "it is a fxur"])
def test_named_digit_is_minus_one_if_absent(text):
    assert named_digit(text) == -1
