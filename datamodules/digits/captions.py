"""English captions of digits, whose wording depends on the media that they accompany."""

import re

import numpy as np

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

# for a digit with an image, with a sound, with neither
WRITTEN = ("a handwritten {}", "a {} in ink", "a drawn {}", "{} in pixels")
SPOKEN = ("a spoken {}", "a voice: {}", "{} out loud", "hear {}")
PLAIN = ("the number {}", "it is {}", "{}", "a {}")


def caption(digit: int, image: bool, sound: bool, rng: np.random.Generator) -> str:
    """A caption of a digit in a document with an image, a sound, both or neither."""
    templates = WRITTEN * image + SPOKEN * sound or PLAIN
    return templates[rng.integers(len(templates))].format(WORDS[digit])


def named_digit(text: str) -> int:
    """The first digit that a text names, or -1."""
    match = re.search(rf"\b({'|'.join(WORDS)})\b", text.lower())
    return WORDS.index(match[1]) if match else -1
