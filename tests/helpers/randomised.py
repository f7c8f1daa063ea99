"""How often a property is tried: on a hundred inputs, always the same, and in the slow tests on a thousand new ones."""

import pytest
from hypothesis import settings

_FEW = settings(max_examples=100, deadline=None, derandomize=True)
_MANY = settings(max_examples=1000, deadline=None, derandomize=False)

often = pytest.mark.parametrize("tried", [_FEW, pytest.param(_MANY, marks=pytest.mark.slow)], ids=["few", "many"])
