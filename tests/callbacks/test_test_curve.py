"""The test split while training."""

import pytest
import torch
from runs import TINY, rows, run, run_in_subprocess, weights

CURVE = "--trainer.callbacks+=TestCurve"
SETTINGS = [*TINY, "--model.optimizer.schedule=constant", "--trainer.limit_test_batches=2"]
RANKS = ["--trainer.devices=2", "--trainer.accelerator=cpu", "--trainer.strategy=ddp"]


def scores(folder):
    """The test metrics in metrics.csv, by step."""
    return {int(row["step"]): row for row in rows(folder / "default/0") if "test/loss" in row}


@pytest.fixture(scope="module")
def with_curve(tmp_path_factory):
    folder = tmp_path_factory.mktemp("with_curve")
    assert run(folder, "fit", *SETTINGS, CURVE) == 0
    return folder


def test_each_validation_scores_the_test_split_as_a_test_of_these_weights_does(with_curve, tmp_path):
    curve = scores(with_curve)
    assert list(curve) == [3, 6]
    assert {"test/loss", "test/text/loss", "test/text/bits_per_byte", "test/image/loss"} <= curve[3].keys()
    assert run(tmp_path, "fit", *SETTINGS, "--trainer.max_steps=3") == 0
    assert scores(tmp_path)[3] == curve[3]
    assert curve[6] != curve[3]


def test_it_changes_nothing_else(with_curve, tmp_path):
    assert run(tmp_path, "fit", *SETTINGS) == 0
    one, other = weights(with_curve / "default/0"), weights(tmp_path / "default/0")
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    learned = [
        [row for row in rows(folder / "default/0") if "test/loss" not in row] for folder in (with_curve, tmp_path)
    ]
    assert learned[0] == learned[1]
    assert scores(with_curve)[6] == scores(tmp_path)[6]


@pytest.mark.slow
def test_ranks_share_the_test_split(tmp_path):
    """The losses of two ranks with half a batch each are those of one rank."""
    exact = [*SETTINGS, "--trainer.precision=64-true", "--model.backbone.dropout=0"]
    assert run(tmp_path / "one", "fit", *exact, CURVE) == 0
    arguments = [*exact, CURVE, *RANKS, "--data.batch_size=2", f"--runs={tmp_path / 'two'}"]
    run_in_subprocess("-m", "mot_lightning", "fit", *arguments, cwd=tmp_path)
    one, two = scores(tmp_path / "one")[3], scores(tmp_path / "two")[3]
    assert one.keys() == two.keys()
    for name in one:
        assert float(one[name]) == pytest.approx(float(two[name]), rel=1e-6), name


def test_a_codec_that_is_trained_alone_has_no_curve(tmp_path, capsys):
    assert run(tmp_path, "fit", "--config=conf/codec/vq.yaml", CURVE, "--trainer.max_steps=2") == 2
    assert "trainer.callbacks has TestCurve, wanted it where a model trains" in capsys.readouterr().err
