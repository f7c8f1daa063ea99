"""Whether Python values fit the annotations of what takes them, and names its parameters.

Knows no settings; what lies in a config file or on a command line is left to jsonargparse, which reads the same
annotations.
"""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from functools import lru_cache
from itertools import repeat
from numbers import Integral, Real
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np

from mot_lightning.config.hints import did_you_mean
from mot_lightning.config.words import WORDS, alternatives

GATHERING = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
IN_PYTHON = {**WORDS, "bool": "True or False", "NoneType": "None"}


def check_names(taker: Callable[..., Any], names: Iterable[str]) -> None:
    """Raises TypeError for a name that is no parameter of a function or class."""
    parameters = inspect.signature(taker).parameters
    known = [name for name, parameter in parameters.items() if parameter.kind not in GATHERING]
    for name in names if len(known) == len(parameters) else ():
        if name not in known:
            close = did_you_mean(name, known) or f", wanted some of {', '.join(known)}"
            raise TypeError(f"there is no setting {name!r}{close}")


def check_types(taker: Callable[..., Any], values: Mapping[str, Any], prefix: str = "") -> None:
    """Raises TypeError "{prefix}{name} is {value}, wanted {type}" for a value that does not fit its annotation.

    Args:
        taker: the dataclass or function that is annotated; a whole number fits `float`, and NumPy's fit as well.
        values: by name; names without an annotation are not looked at.
    """
    for name, hint in hints_of(taker).items():
        if name in values:
            _check(f"{prefix}{name}", values[name], hint)


@lru_cache
def hints_of(taker: Callable[..., Any]) -> dict[str, Any]:
    try:
        return get_type_hints(taker)
    except NameError:  # one is imported for type checkers only
        return {}


def _check(path: str, value: Any, hint: Any) -> None:
    kinds = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    fitting = [kind for kind in kinds if _fits(value, kind)]
    if not fitting:
        raise TypeError(f"{path} is {_shown(value)}, wanted {_in_words(kinds)}{_hint_at_class(value, kinds)}")
    refusals = [refusal for kind in fitting if (refusal := _refusal_of_items(path, value, kind))]
    if len(refusals) == len(fitting):
        raise refusals[0]


def _hint_at_class(value: Any, kinds: Iterable[Any]) -> str:
    if not isinstance(value, type):
        return ""
    if any(isinstance(kind, type) and issubclass(value, kind) for kind in kinds):
        return f": call it, {value.__name__}()"
    return f": give its name, {value.__name__!r}" if str in kinds else ""


def _refusal_of_items(path: str, value: Any, kind: Any) -> TypeError | None:
    try:
        for name, item, of_item in _items(value, get_args(kind)):
            _check(f"{path}{name}", item, of_item)
    except TypeError as refusal:
        return refusal
    return None


def _fits(value: Any, kind: Any) -> bool:
    """Whether a value is of an annotated type; the items of a list or a mapping may be any."""
    outer, of_items = get_origin(kind) or kind, get_args(kind)
    if outer in (int, float):
        return isinstance(value, Integral if outer is int else Real) and not isinstance(value, bool)
    if outer is bool:
        return isinstance(value, bool | np.bool_)
    if outer is Literal:
        return isinstance(value, tuple({type(choice) for choice in of_items}))
    if outer in (list, tuple, Sequence):
        numbers = isinstance(value, np.ndarray) and value.ndim == 1 and of_items[:1] in ((int,), (float,))
        is_list = numbers or (isinstance(value, Sequence) and not isinstance(value, str))
        return is_list and (not _is_fixed(kind) or len(value) == len(of_items))
    outer = {dict: Mapping, Path: str | Path}.get(outer, outer)  # a path may be a text
    return not _is_known(outer) or isinstance(value, outer)


def _is_known(outer: Any) -> bool:
    """Whether a type is one that values can be tested for; not so Any, a TypeVar, or most protocols."""
    protocol = getattr(outer, "_is_protocol", False) and not getattr(outer, "_is_runtime_protocol", False)
    return isinstance(outer, type | UnionType) and outer is not Any and not protocol


def _is_fixed(kind: Any) -> bool:
    """Whether a type is a tuple of a number of items."""
    return get_origin(kind) is tuple and get_args(kind)[-1:] != (Ellipsis,)


def _items(value: Any, kinds: tuple[Any, ...]) -> Iterator[tuple[str, Any, Any]]:
    """The suffix of the name, the value and the annotation of each item of a list or a mapping."""
    if isinstance(value, Mapping) and kinds:
        yield from ((f".{name}", item, kinds[-1]) for name, item in value.items())
    elif isinstance(value, Sequence | np.ndarray) and not isinstance(value, str) and kinds:
        of_items = kinds if len(kinds) == len(value) and kinds[-1] is not Ellipsis else repeat(kinds[0])
        yield from ((f"[{i}]", item, of_item) for i, (item, of_item) in enumerate(zip(value, of_items, strict=False)))


def _shown(value: Any) -> str:
    """A value in a message of one line: itself if it is plain and short, else its type."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    text = repr(value) if isinstance(value, str | int | float | Mapping | list | tuple | None) else ""
    return text if 0 < len(text) <= 60 and "\n" not in text else f"of type {type(value).__name__}"


def _in_words(kinds: Iterable[Any]) -> str:
    return alternatives(word for kind in kinds for word in _words(kind))


def _words(kind: Any) -> Iterator[str]:
    outer = get_origin(kind) or kind
    if outer is Literal:
        yield from map(repr, get_args(kind))
    elif _is_fixed(kind):
        yield f"a list of {len(get_args(kind))}"
    elif is_dataclass(outer):
        required = [f.name for f in fields(outer) if f.default is f.default_factory is MISSING]
        yield f"{getattr(outer, '__name__', outer)}({', '.join(required) or '...'})"
    else:
        article = "an" if outer.__name__[0] in "AEIOU" else "a"
        yield IN_PYTHON.get(outer.__name__, f"{article} {outer.__name__}")
