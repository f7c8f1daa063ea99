"""Types in plain words, and alternatives in one phrase, for messages."""

from collections.abc import Iterable

WORDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "a text",
    "bool": "true or false",
    "dict": "a mapping",
    "Mapping": "a mapping",
    "list": "a list",
    "tuple": "a list",
    "Sequence": "a list",
    "NoneType": "null",
}


def alternatives(words: Iterable[str]) -> str:
    """Words as "a, b or c", each once."""
    *most, last = dict.fromkeys(words)
    return f"{', '.join(most)} or {last}" if most else last
