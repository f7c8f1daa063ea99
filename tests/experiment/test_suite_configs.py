"""The configs of a suite are resolved, kept, and compared with those that it began with."""

import pytest
import yaml

from mot_lightning.analysis.suite.claim import Claim
from mot_lightning.analysis.suite.settings import Suite
from mot_lightning.errors import ConfigError
from mot_lightning.experiment.suite_configs import KEPT, check_begun, configs_of, keep

ARMS = {"dense": ["conf/backbone/dense.yaml"], "mot": ["conf/backbone/mot.yaml"]}


def suite(settings=None, **others):
    settings = {"trainer.val_check_interval": 1, **(settings or {})}
    return Suite(**{"suite": "s", "arms": ARMS, "baseline": "dense", "configs": [], "learning_rates": [0.01, 0.02],
                    "sweep_steps": 1, "settings": settings, **others})  # fmt: skip


def test_configs_have_the_settings_of_arm_and_size():
    configs = configs_of(suite(settings={"data.batch_size": 3}, sizes={"16": {"model.backbone.dim": 16}, "32": {}}))
    assert [*configs] == ["dense 16", "dense 32", "mot 16", "mot 32"]
    assert configs["mot 16"]["model"]["backbone"]["dim"] == 16
    assert {config["data"]["init_args"]["batch_size"] for config in configs.values()} == {3}


def test_claims_on_modalities_that_no_arm_has_are_refused():
    claims = [Claim("c", "mot", "image", below={"modality": "speech"})]
    configs_of(suite(claims=claims))
    with pytest.raises(ConfigError, match="claim 'c' names 'speech', wanted one of image, text"):
        configs_of(suite(claims=claims, settings={"model.modalities.speech": None}))


def test_suite_goes_on_with_the_configs_that_it_began_with_and_more_arms(tmp_path):
    configs = configs_of(suite())
    check_begun(configs, tmp_path)
    keep({"mot": configs["mot"]}, tmp_path)
    check_begun(configs, tmp_path)
    keep(configs, tmp_path)
    assert [*yaml.safe_load((tmp_path / KEPT).read_text())] == ["mot", "dense"]
    with pytest.raises(ConfigError, match="has runs of mot with another sweep_steps: 1 -> 2, wanted the same"):
        check_begun(configs_of(suite(sweep_steps=2)), tmp_path)


def test_what_no_result_depends_on_may_change_on_the_way(tmp_path):
    keep(configs_of(suite()), tmp_path)
    check_begun(configs_of(suite(settings={"trainer.accelerator": "cpu", "data.num_workers": 1})), tmp_path)


def test_damaged_record_is_refused(tmp_path):
    (tmp_path / KEPT).write_text("- {")
    with pytest.raises(ConfigError, match="cannot be read"):
        check_begun({}, tmp_path)
