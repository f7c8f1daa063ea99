"""What the YAML of a suite may hold, beside `test_settings.py`, which reads whole files."""

import dataclasses

import pytest

from mot_lightning.analysis.suite.claim import Claim
from mot_lightning.analysis.suite.content import TYPES, check_content
from mot_lightning.analysis.suite.settings import Suite
from mot_lightning.errors import ConfigError

CLAIM = {"claim": "c", "arm": "mot", "modality": "image"}


def test_every_setting_has_a_type():
    assert {field.name for kind in (Suite, Claim) for field in dataclasses.fields(kind)} == {*TYPES}


@pytest.mark.parametrize("below", [1, 0.5, None, {"arm": "dense"}, {"modality": "text"}, {"arm": "a", "modality": "b"}])
def test_bounds_are_numbers_or_another_arm_or_modality(below):
    check_content("x", {**CLAIM, "below": below}, Claim)


@pytest.mark.parametrize("below", ["1", True, [1], {}, {"arm": 1}, {"arms": "dense"}, float("nan")])
def test_other_bounds_are_refused(below):
    with pytest.raises(ConfigError, match=r"^x: below is .*, wanted a number, or an arm or a modality$"):
        check_content("x", {**CLAIM, "below": below}, Claim)
