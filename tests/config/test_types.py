"""Values that fit their annotations, and what is said of those that do not."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from mot_lightning.codecs import Bytes, Codec
from mot_lightning.config.types import check_names, check_types


@dataclass
class Part:
    width: int
    kind: Literal["a", "b"] = "a"


@dataclass
class Settings:
    count: int = 1
    rate: float = 1.0
    flag: bool = False
    names: tuple[str, ...] = ()
    scale: float | Mapping[str, float] | None = None
    part: Part | None = None
    parts: dict[str, Part] = field(default_factory=dict)
    codec: Codec | None = None
    anything: Any = None
    pair: tuple[int, float] | None = None
    either: list[int] | list[str] | None = None
    folder: Path | None = None


@pytest.mark.parametrize(
    "values",
    [
        {"count": np.int64(3), "rate": np.float32(0.5)},
        {"rate": 3, "names": ["a"], "flag": True},
        {"scale": None, "flag": np.bool_(True), "folder": "a/b"},
        {"pair": np.array([1, 2]), "either": ["a"]},
        {"pair": (1, 0.5), "either": [1]},
        {"scale": {"image": 2}},
        {"part": Part(1, "c"), "parts": {"a": Part(2)}},  # which choices there are is checked elsewhere
        {"codec": Bytes(), "anything": object(), "unknown": object()},
    ],
)
def test_what_fits_passes(values):
    check_types(Settings, values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"count": "3"}, "my.count is '3', wanted a whole number"),
        ({"count": 1.0}, "my.count is 1.0, wanted a whole number"),
        ({"rate": True}, "my.rate is True, wanted a number"),
        ({"flag": 1}, "my.flag is 1, wanted True or False"),
        ({"names": "text"}, "my.names is 'text', wanted a list"),
        ({"names": ["text", 3]}, "my.names[1] is 3, wanted a text"),
        ({"scale": "3"}, "my.scale is '3', wanted a number, a mapping or None"),
        ({"scale": {"image": "3"}}, "my.scale.image is '3', wanted a number"),
        ({"part": {"width": 3}}, "my.part is {'width': 3}, wanted Part(width) or None"),
        ({"parts": {"a": Bytes()}}, "my.parts.a is of type Bytes, wanted Part(width)"),
        ({"parts": {"a": Part}}, "my.parts.a is the class Part, wanted Part(width): call it, Part()"),
        ({"flag": np.int64(1)}, "my.flag is of type int64, wanted True or False"),
        ({"pair": (1,)}, "my.pair is (1,), wanted a list of 2 or None"),
        ({"pair": (0.5, 1)}, "my.pair[0] is 0.5, wanted a whole number"),
        ({"either": [0.5]}, "my.either[0] is 0.5, wanted a whole number"),
        ({"names": str}, "my.names is the class str, wanted a list"),
        ({"codec": "x" * 99}, "my.codec is of type str, wanted a Codec or None"),
        ({"codec": Bytes}, "my.codec is the class Bytes, wanted a Codec or None: call it, Bytes()"),
    ],
)
def test_what_does_not_fit_is_named_with_what_would(values, message):
    with pytest.raises(TypeError) as refusal:
        check_types(Settings, values, "my.")
    assert str(refusal.value) == message


def test_choices_are_named():
    with pytest.raises(TypeError, match=r"^kind is 3, wanted 'a' or 'b'$"):
        check_types(Part, {"kind": 3})


def test_an_unknown_name_gets_the_closest_or_all():
    check_names(Part, ["width"])
    with pytest.raises(TypeError, match=r"^there is no setting 'widt', did you mean width\?$"):
        check_names(Part, ["widt"])
    with pytest.raises(TypeError, match=r"^there is no setting 'qqq', wanted some of width, kind$"):
        check_names(Part, ["qqq"])
