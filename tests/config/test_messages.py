"""What jsonargparse tells of a value that does not fit, in one line."""

from dataclasses import dataclass
from typing import Literal

import pytest

from mot_lightning.config.instantiate import instantiate
from mot_lightning.config.messages import in_words, shorten
from mot_lightning.errors import ConfigError


@dataclass
class Part:
    size: int = 1
    shape: tuple[int, int] = (1, 2)
    kind: Literal["a", "b"] = "a"
    limit: int | None = None
    rate: float | str = 1.0

    def __post_init__(self):
        if self.size < 0:
            raise ValueError(f"size is {self.size}, wanted 0 or more")


def function(part: Part, names: list[str] | None = None, count: int = 0):
    """Takes all kinds of arguments."""


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"part": {"size": "x"}}, "part.size is x, wanted a whole number"),
        ({"part": {"kind": "c"}}, "part.kind is c, wanted a or b"),
        ({"part": {"shape": [1]}}, "part.shape is [1], wanted a list of 2"),
        ({"part": {"limit": "x"}}, "part.limit is x, wanted a whole number or null"),
        ({"part": {"rate": [1]}}, "part.rate is [1], wanted a number or a text"),
        ({"part": {}, "names": 3}, "names is 3, wanted a list or null"),
        ({"part": {}, "count": 1.5}, "count is 1.5, wanted a whole number"),
        ({"part": {"size": -1}}, "size is -1, wanted 0 or more"),
    ],
)
def test_the_setting_the_value_and_what_was_wanted(settings, message):
    with pytest.raises(ConfigError) as refusal:
        instantiate(function, settings)
    assert str(refusal.value) == message


def test_another_message_stays_as_it_is():
    assert shorten("the disk\n is full") == "the disk is full"


def test_types_are_named_as_a_person_would():
    assert in_words("<class 'int'>") == "a whole number"
    assert in_words("bool") == "true or false"
    assert in_words("Literal['x', 'y', 'z']") == "x, y or z"
