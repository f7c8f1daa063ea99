"""From a resolved config to module, data and trainer, all of it whole and of the types that were given."""

from pathlib import Path

import pytest
import yaml
from runs import ROOT, TINY, run_in_subprocess

from mot_lightning import callbacks
from mot_lightning.errors import ConfigError
from mot_lightning.experiment.build import build
from mot_lightning.experiment.resolve import resolve
from mot_lightning.module import MoTModule
from mot_lightning.training.codec_module import CodecModule

CONFIGS = sorted(path for path in (ROOT / "conf").rglob("*.yaml") if path.parent.name != "suite")
LARGE = [path for path in CONFIGS if path.parent.name == "size" and path.stem != "chameleon_37m"]  # tests/test_sizes.py


def experiment(*configs, **settings):
    return build(resolve(configs, list(settings.items())), [])


@pytest.mark.parametrize("path", [path for path in CONFIGS if path not in LARGE], ids=lambda path: path.stem)
def test_every_shipped_config_builds_and_its_whole_config_builds_the_same(path, request):
    settings = {}
    if path.stem == "upcycle":
        settings["model.pretrained.text"] = str(request.getfixturevalue("language_models")["llama"])
    first = experiment(path, **settings)
    assert isinstance(first.module, CodecModule if path.parent.name == "codec" else MoTModule)
    again = build(resolve([], [], checkpoint_config=first.config), [])
    voided = {"pretrained": None} if path.stem == "upcycle" else {}  # beside a checkpoint, which has the weights
    assert again.config == {**first.config, "model": {**first.config["model"], **voided}}
    assert {n: w.shape for n, w in again.module.state_dict().items() if "_extra" not in n} == {
        n: w.shape for n, w in first.module.state_dict().items() if "_extra" not in n}  # fmt: skip


@pytest.mark.parametrize("path", LARGE, ids=lambda path: path.stem)
def test_every_shipped_size_resolves(path):
    assert resolve([path], [])["model"]["backbone"]["dim"] >= 512


def test_an_explicit_seed_reaches_model_and_data():
    built = experiment(seed="7")
    assert built.module.seed == built.data.seed == built.config["seed"] == 7


def test_our_callbacks_come_first_and_checkpoints_before_a_signal_is_heard():
    order = [type(callback) for callback in experiment().trainer.callbacks]
    assert order[-3:] == [callbacks.Checkpoints, callbacks.SampleLogger, callbacks.StopOnSignal]
    assert order.index(callbacks.GradientNorms) < order.index(callbacks.Checkpoints)


def test_one_batch_is_not_all_batches(tmp_path):
    """Python takes Union[int, float] and Union[float, int] for one; which came first must not change what 1 means."""
    program = """
from typing import Optional, Union
Optional[Union[float, int]], Union[float, int, None], Union[float, int]
from mot_lightning.experiment.build import build
from mot_lightning.experiment.resolve import resolve
settings = [("trainer.limit_test_batches", "1"), ("trainer.limit_val_batches", "1.0")]
trainer = build(resolve([], settings), []).trainer
print(type(trainer.limit_test_batches).__name__, type(trainer.limit_val_batches).__name__)
"""
    assert run_in_subprocess("-c", program, cwd=tmp_path).split() == ["int", "float"]


def test_a_value_that_does_not_fit_is_named_with_what_would():
    with pytest.raises(ConfigError, match=r"model.backbone.dim is 'abc', wanted a whole number|dim is abc, wanted"):
        build(resolve([], [("model.backbone.dim", "abc")]), [])


def test_building_makes_nothing_on_the_disk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = [tuple(argument[2:].split("=", 1)) for argument in TINY]
    build(resolve([], settings), [], tmp_path / "runs/default/0")
    assert not list(tmp_path.iterdir())


def test_the_recipe_of_the_default_is_as_it_was(printed_config):
    """Every setting and default of the default run; change the file with what changes the recipe."""
    golden = Path(__file__).resolve().parents[1] / "golden" / "default.yaml"
    expected = yaml.safe_load(golden.read_text(encoding="utf-8"))
    config = printed_config()
    assert {**config, "runs": None} == {**expected, "runs": None}


def test_a_short_run_validates_at_its_end_and_keeps_the_interval_in_its_config():
    for steps, interval in (("3", 3), ("3000", 500)):
        built = experiment(**{"trainer.max_steps": steps})
        assert built.trainer.val_check_interval == interval
        assert built.config["trainer"]["val_check_interval"] == 500


def test_a_users_callback_runs_after_ours_and_before_checkpoints():
    built = experiment(**{"trainer.callbacks": "[LearningRateMonitor]"})
    order = [type(callback).__name__ for callback in built.trainer.callbacks]
    assert order.index("ExactResume") < order.index("LearningRateMonitor") < order.index("Checkpoints")
    assert order.index("GradientNorms") < order.index("LearningRateMonitor")
