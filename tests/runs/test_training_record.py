"""What is said of a training elsewhere: settings without paths, and figures of these weights only."""

import json

from mot_lightning.runs.training_record import training_record

CONFIG = {
    "experiment": "digits",
    "runs": "/home/someone/runs",
    "base": None,
    "data": {"image_root": "/home/someone/mnist", "documents": ["text", "/a/b.csv"], "name": "someone/model"},
}


def run_folder(folder, metrics):
    (folder / "checkpoints").mkdir()
    (folder / "config.yaml").touch()
    (folder / "metrics.json").write_text(metrics)
    return folder / "checkpoints/last.ckpt"


def test_settings_keep_the_last_part_of_paths(tmp_path):
    record = training_record({"config": CONFIG, "global_step": 3}, tmp_path / "last.ckpt")
    data = {"image_root": "mnist", "documents": ["text", "b.csv"], "name": "someone/model"}
    settings = {"experiment": "digits", "base": None, "data": data}
    assert record == {"experiment": "digits", "step": 3, "settings": settings, "metrics": {}}


def test_metrics_are_those_of_the_test_at_this_step(tmp_path):
    path = run_folder(tmp_path, json.dumps({"test/loss": 1.5, "fit/steps": 3, "fit/seconds": 9}))
    assert training_record({"config": CONFIG, "global_step": 3}, path)["metrics"] == {"test/loss": 1.5}
    assert training_record({"config": CONFIG, "global_step": 2}, path)["metrics"] == {}


def test_a_damaged_file_of_metrics_is_none(tmp_path):
    path = run_folder(tmp_path, '{"test/loss": 1.5')
    assert training_record({"config": CONFIG, "global_step": 3}, path)["metrics"] == {}
