"""Whether Python values fit the annotations of what takes them, and names its parameters.

Knows no settings; what lies in a config file or on a command line is left to jsonargparse, which reads the same
annotations.
"""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from functools import lru_cache
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from mot_lightning.config.hints import did_you_mean

WORDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    str: "a text",
    bool: "True or False",
    dict: "a mapping",
    Mapping: "a mapping",
    list: "a list",
    tuple: "a list",
    Sequence: "a list",
    NoneType: "None",
}


def check_names(taker: Callable[..., Any], names: Iterable[str]) -> None:
    """Raises TypeError for a name that is no parameter of a function or class."""
    known = [*inspect.signature(taker).parameters]
    for name in names:
        if name not in known:
            close = did_you_mean(name, known) or f", wanted some of {', '.join(known)}"
            raise TypeError(f"there is no setting {name!r}{close}")


def check_types(taker: Callable[..., Any], values: Mapping[str, Any], prefix: str = "") -> None:
    """Raises TypeError "{prefix}{name} is {value}, wanted {type}" for a value that does not fit its annotation.

    Args:
        taker: the dataclass or function that is annotated; a whole number fits `float`, and NumPy's fit as well.
        values: by name; names without an annotation are not looked at.
    """
    for name, hint in _hints(taker).items():
        if name in values:
            _check(f"{prefix}{name}", values[name], hint)


_hints = lru_cache(get_type_hints)


def _check(path: str, value: Any, hint: Any) -> None:
    kinds = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    kind = next((kind for kind in kinds if _fits(value, kind)), None)
    if kind is None:
        call = isinstance(value, type) and any(isinstance(kind, type) and issubclass(value, kind) for kind in kinds)
        hint_at_call = f": call it, {value.__name__}()" if call else ""
        raise TypeError(f"{path} is {_shown(value)}, wanted {_in_words(kinds)}{hint_at_call}")
    for name, item, of_item in _items(value, get_args(kind)):
        _check(f"{path}{name}", item, of_item)


def _fits(value: Any, kind: Any) -> bool:
    """Whether a value is of an annotated type; the items of a list or a mapping may be any."""
    outer = get_origin(kind) or kind
    if outer in (int, float):
        return isinstance(value, Integral if outer is int else Real) and not isinstance(value, bool)
    if outer is Literal:
        return isinstance(value, tuple({type(choice) for choice in get_args(kind)}))
    if outer in (list, tuple, Sequence):
        return isinstance(value, Sequence) and not isinstance(value, str)
    return outer is Any or isinstance(value, Mapping if outer is dict else outer)


def _items(value: Any, kinds: tuple[Any, ...]) -> Iterator[tuple[str, Any, Any]]:
    """The suffix of the name, the value and the annotation of each item of a list or a mapping."""
    if isinstance(value, Mapping) and kinds:
        yield from ((f".{name}", item, kinds[-1]) for name, item in value.items())
    elif isinstance(value, Sequence) and not isinstance(value, str) and kinds:
        yield from ((f"[{i}]", item, kinds[0]) for i, item in enumerate(value))  # all of one kind


def _shown(value: Any) -> str:
    """A value in a message of one line: itself if it is plain and short, else its type."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    text = repr(value) if isinstance(value, str | int | float | Mapping | list | tuple | None) else ""
    return text if 0 < len(text) <= 60 and "\n" not in text else f"of type {type(value).__name__}"


def _in_words(kinds: Iterable[Any]) -> str:
    *most, last = dict.fromkeys(word for kind in kinds for word in _words(get_origin(kind) or kind, get_args(kind)))
    return f"{', '.join(most)} or {last}" if most else last


def _words(outer: Any, arguments: tuple[Any, ...]) -> Iterator[str]:
    if outer is Literal:
        yield from map(repr, arguments)
    elif is_dataclass(outer):
        required = [f.name for f in fields(outer) if f.default is f.default_factory is MISSING]
        yield f"{getattr(outer, '__name__', outer)}({', '.join(required) or '...'})"
    else:
        article = "an" if outer.__name__[0] in "AEIOU" else "a"
        yield WORDS.get(outer, f"{article} {outer.__name__}")
