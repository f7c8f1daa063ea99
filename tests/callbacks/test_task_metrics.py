"""Metrics of tasks while training."""

import json
from types import SimpleNamespace

import pytest
import torch
from runs import TINY, rows, run, weights

from mot_lightning.callbacks import TaskMetrics

PSNR = [
    "--report.metrics.image.psnr=torchmetrics.image.psnr.PeakSignalNoiseRatio",
    "--report.metrics.image.psnr.data_range=1.0",
]


def callback(**arguments):
    return f"--trainer.callbacks+={json.dumps({'class_path': 'TaskMetrics', 'init_args': arguments})}"


def scores(folder):
    """The task metrics in metrics.csv, by step."""
    return {int(row["step"]): row for row in rows(folder / "default/0") if "val/image/judge_accuracy" in row}


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    folder = tmp_path_factory.mktemp("task_metrics")
    assert run(folder, "fit", *TINY, *PSNR, callback(prompts=5)) == 0
    return folder


def test_each_validation_measures_the_tasks_of_the_split(measured):
    by_step = scores(measured)
    assert list(by_step) == [3, 6]
    assert {
        "val/image/fid[digits]", "val/image/text_to_image/psnr", "val/image/speech_to_image/psnr",
        "val/text/image_to_text_accuracy", "val/speech/text_to_speech_accuracy",
    } <= by_step[3].keys()  # fmt: skip
    assert by_step[3]["val/image/fid[digits]"] != by_step[6]["val/image/fid[digits]"]
    assert (5 * float(by_step[6]["val/text/image_to_text_accuracy"])).is_integer()


def test_training_stays_the_same_bit_by_bit(measured, tmp_path):
    assert run(tmp_path, "fit", *TINY) == 0
    one, other = weights(measured / "default/0"), weights(tmp_path / "default/0")
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    plain = rows(tmp_path / "default/0")
    names = {name for row in plain for name in row}
    learned = [{name: row[name] for name in row if name in names} for row in rows(measured / "default/0")]
    assert learned == plain


def test_not_at_every_validation(measured, tmp_path):
    """A run of 6 steps validates at 2, 4 and 6, and 5 steps lie between 4 and 6."""
    settings = [*TINY, *PSNR, "--trainer.val_check_interval=2", callback(every_n_steps=5, prompts=5)]
    assert run(tmp_path, "fit", *settings) == 0
    by_step = scores(tmp_path)
    assert list(by_step) == [6]
    assert by_step[6] == scores(measured)[6]


def test_batches_between_validations_are_counted_as_steps():
    """Validations after 4 batches each are 2 steps apart where 2 batches make one."""

    def is_due(step):
        trainer = SimpleNamespace(global_step=step, val_check_batch=4, accumulate_grad_batches=2)
        return TaskMetrics(every_n_steps=3)._is_due(trainer)

    assert [step for step in range(2, 13, 2) if is_due(step)] == [4, 6, 10, 12]


@pytest.mark.parametrize("name", ["every_n_steps", "prompts"])
def test_numbers_from_1(name):
    with pytest.raises(ValueError, match=f"{name} is 0, wanted at least 1, or null"):
        TaskMetrics(**{name: 0})


def test_a_codec_that_is_trained_alone_has_no_tasks(tmp_path, capsys):
    assert run(tmp_path, "fit", "--config=conf/codec/vq.yaml", callback(), "--trainer.max_steps=2") == 2
    assert "trainer.callbacks has TaskMetrics, wanted it where a model trains" in capsys.readouterr().err
