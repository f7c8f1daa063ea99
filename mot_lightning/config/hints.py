"""Hints in error messages: "did you mean" the closest known word."""

import difflib
from collections.abc import Iterable

CLOSE = 0.61  # similarity, from 0 to 1, of words that may be meant


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint at the closest known word, or an empty string."""
    close = difflib.get_close_matches(word, sorted(set(known) - {word}), n=1, cutoff=CLOSE)
    return f", did you mean {close[0]}?" if close else ""


def did_you_mean_setting(word: str, known: Iterable[str]) -> str:
    """As `did_you_mean` for dotted names, which are compared by their last part."""
    by_last = {name.rpartition(".")[2]: name for name in sorted(known, reverse=True) if name != word}
    close = difflib.get_close_matches(word, by_last, n=1, cutoff=CLOSE)
    return f", did you mean {by_last[close[0]]}?" if close else ""
