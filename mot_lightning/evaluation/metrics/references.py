"""Texts against references: words, and one reference or several of a text."""

import re
from collections.abc import Sequence

WORD = re.compile(r"\w+")
NESTED = re.compile(r"Sequence\[.*Sequence\[")  # the annotation of several references of each text


def words(text: str) -> list[str]:
    """Its words in lower case, without punctuation."""
    return WORD.findall(text.lower())


def references_of(target: str | Sequence[str]) -> list[str]:
    """The references of one text, of which a target is one or has several."""
    return [target] if isinstance(target, str) else list(target)
