"""The YAML of a suite: which settings it and its claims have, and of which type each is."""

import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from mot_lightning.analysis.compare.comparable import ASPECTS
from mot_lightning.config.hints import did_you_mean
from mot_lightning.errors import ConfigError

Fits = Callable[[Any], bool]


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _is_name(value: Any) -> bool:
    return _is_text(value) and value == Path(value).name and value != ".."


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_whole(value: Any) -> bool:
    return _is_number(value) and isinstance(value, int)


def _is_bound(value: Any) -> bool:
    named = isinstance(value, dict) and bool(value) and {*value} <= {"arm", "modality"}
    return value is None or _is_number(value) or (named and all(map(_is_text, value.values())))


def _list_of(fits: Fits) -> Fits:
    return lambda value: isinstance(value, list) and all(map(fits, value))


def _by_name(fits: Fits) -> Fits:
    return lambda value: isinstance(value, dict) and all(map(_is_name, value)) and all(map(fits, value.values()))


def _is_mapping(value: Any) -> bool:
    return isinstance(value, dict)


TYPES: dict[str, tuple[str, Fits]] = {
    "suite": ("a plain name", _is_name),
    "arms": (
        "a config file of each, or a list of them, by plain names",
        _by_name(lambda files: files is None or _is_text(files) or _list_of(_is_text)(files)),
    ),
    "baseline": ("the name of an arm", _is_text),
    "configs": ("a list of config files", _list_of(_is_text)),
    "learning_rates": ("a list of numbers", _list_of(_is_number)),
    "sweep_steps": ("a whole number", _is_whole),
    "seeds": ("a list of whole numbers", _list_of(_is_whole)),
    "sweep_seed": ("a whole number", _is_whole),
    "widened": ("a whole number", _is_whole),
    "settings": ("a mapping", _is_mapping),
    "sizes": ("settings of each, by plain names", _by_name(_is_mapping)),
    "ignore": (f"a list of {', '.join(ASPECTS)}", _list_of(lambda value: value in ASPECTS)),
    "claims": ("a list of mappings", _list_of(_is_mapping)),
    # of a claim
    "claim": ("words", _is_text),
    "arm": ("the name of an arm", _is_text),
    "modality": ("the name of a modality", _is_text),
    "size": ("the name of a size", _is_text),
    "below": ("a number, or an arm or a modality", _is_bound),
    "above": ("a number, or an arm or a modality", _is_bound),
}


def check_content(where: str, content: Mapping[str, Any], kind: type) -> None:
    """Raises ConfigError if a mapping does not have what a dataclass takes: names, needed ones, types.

    Args:
        where: the file, and the claim in it, for messages.
        kind: `Suite` or `Claim`.
    """
    known = {one.name: one for one in fields(kind)}
    for name, value in content.items():
        if name not in known:
            close = did_you_mean(str(name), known)
            raise ConfigError(f"{where} has no setting {name!r}, wanted some of {', '.join(known)}{close}")
        requirement, fits = TYPES[name]
        if not fits(value):
            raise ConfigError(f"{where}: {name} is {value!r}, wanted {requirement}")
    for name, one in known.items():
        if name not in content and one.default is MISSING and one.default_factory is MISSING:
            raise ConfigError(f"{where} lacks {name}, wanted {TYPES[name][0]}")
