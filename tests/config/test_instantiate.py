"""Objects from settings by annotations, from packages that may be imported; jsonargparse stays as others set it."""

import pytest
from jsonargparse import _common
from my_objective import SlowFlow

from mot_lightning.config.instantiate import importing_only, instantiate
from mot_lightning.errors import ConfigError
from mot_lightning.objectives import FlowMatching, Objective


def function(objective: Objective, times: int = 3):
    """Takes an object."""


def test_settings_become_objects_and_are_left_as_they_were():
    settings = {"objective": {"class_path": "mot_lightning.objectives.FlowMatching", "init_args": {"steps": 7}}}
    arguments = instantiate(function, settings)
    assert isinstance(arguments["objective"], FlowMatching)
    assert (arguments["objective"].steps, arguments["times"]) == (7, 3)
    assert settings["objective"]["init_args"] == {"steps": 7}


def test_a_package_that_is_not_allowed_is_refused():
    settings = {"objective": {"class_path": "my_objective.SlowFlow"}}
    with pytest.raises(ConfigError, match="my_objective"):
        instantiate(function, settings)
    assert isinstance(instantiate(function, settings, ["my_objective"])["objective"], SlowFlow)


def test_the_import_policy_ends_with_what_was_built():
    before = dict(_common.parsing_settings)
    instantiate(function, {"objective": {"class_path": "mot_lightning.objectives.FlowMatching"}})
    assert _common.parsing_settings == before
    with pytest.raises(ConfigError):
        instantiate(function, {"times": "x"})
    assert _common.parsing_settings == before
    with importing_only():
        assert _common.parsing_settings != before
    assert _common.parsing_settings == before
