"""Hints in error messages: "did you mean" the closest known word."""

import difflib
from collections.abc import Iterable

CLOSE = 0.61  # similarity, from 0 to 1, of words that may be meant


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint at the closest known word, or an empty string."""
    close = difflib.get_close_matches(word, sorted(set(known) - {word}), n=1, cutoff=CLOSE)
    return f", did you mean {close[0]}?" if close else ""


def did_you_mean_setting(word: str, known: Iterable[str]) -> str:
    """As `did_you_mean` for dotted names: the one with the closest last part; of several, the closest as a whole."""
    by_last: dict[str, list[str]] = {}
    for name in sorted(set(known) - {word}):
        by_last.setdefault(name.rpartition(".")[2], []).append(name)
    close = difflib.get_close_matches(word.rpartition(".")[2], by_last, n=1, cutoff=CLOSE)
    return f", did you mean {difflib.get_close_matches(word, by_last[close[0]], cutoff=0)[0]}?" if close else ""
