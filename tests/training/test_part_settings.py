"""Settings of single towers and objectives: what they may say."""

import numpy as np
import pytest

from mot_lightning.training.optimizer import OptimizerSettings
from mot_lightning.training.part_settings import PartSettings


@pytest.mark.parametrize("kind", ["towers", "objectives"])
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"learning_rate": 0.0}, "learning_rate is 0.0, wanted a number above 0"),
        ({"learning_rate": float("nan")}, "learning_rate is nan, wanted a number above 0"),
        ({"learning_rate": float("inf")}, "learning_rate is inf, wanted a number above 0"),
        ({"weight_decay": -1.0}, "weight_decay is -1.0, wanted a number of 0 or more"),
        ({"freeze": True, "learning_rate": 1e-4}, "learning_rate is 0.0001, wanted none where freeze is true"),
        ({"freeze": True, "weight_decay": 0.0}, "weight_decay is 0.0, wanted none where freeze is true"),
    ],
)
def test_settings_that_have_no_meaning_are_refused_with_their_place(kind, settings, message):
    with pytest.raises(ValueError, match=f"^model.optimizer.{kind}.image.{message}$"):
        OptimizerSettings(**{kind: {"image": PartSettings(**settings)}})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"learning_rate": "1e-4"}, "PartSettings.learning_rate is '1e-4', wanted a number or None"),
        ({"freeze": 1}, "PartSettings.freeze is 1, wanted True or False"),
        ({"frieze": True}, "there is no setting 'frieze', did you mean freeze.*"),
    ],
)
def test_settings_of_another_name_or_type_are_refused(settings, message):
    with pytest.raises(TypeError, match=f"^{message}$"):
        PartSettings(**settings)


def test_a_schedule_that_sets_the_rate_of_all_weights_is_refused_beside_a_rate():
    schedule = {"class_path": "OneCycleLR", "init_args": {"max_lr": 0.1, "total_steps": 10}}
    OptimizerSettings(schedule=schedule, towers={"text": PartSettings(freeze=True)})
    with pytest.raises(ValueError, match=r"schedule is OneCycleLR, wanted .*, with model.optimizer.towers.image.learn"):
        OptimizerSettings(schedule=schedule, towers={"image": PartSettings(learning_rate=1e-3)})


def test_numbers_of_numpy_become_plain_numbers():
    settings = PartSettings(learning_rate=np.float32(0.5), weight_decay=np.float64(0.25))
    assert [type(value) for value in (settings.learning_rate, settings.weight_decay)] == [float, float]
