"""English captions of digits: what a caption says tells what it stands beside."""

import re

import numpy as np

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

# beside an image, beside a sound, beside neither
WRITTEN = ("a handwritten {}", "a {} in ink", "a drawn {}", "{} in pixels")
SPOKEN = ("a spoken {}", "a voice: {}", "{} out loud", "hear {}")
PLAIN = ("the number {}", "it is {}", "{}", "a {}")


def caption(digit: int, image: bool, sound: bool, rng: np.random.Generator) -> str:
    """A caption for a digit that stands beside an image, a sound, both or neither."""
    templates = WRITTEN * image + SPOKEN * sound or PLAIN
    return templates[rng.integers(len(templates))].format(WORDS[digit])


def named_digit(text: str) -> int:
    """The digit whose word comes first in a text, or -1."""
    found = re.search(rf"\b({'|'.join(WORDS)})\b", text.lower())
    return WORDS.index(found[1]) if found else -1
