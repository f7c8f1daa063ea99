"""Telemetry in a run: it logs what it says, and training is bitwise as without it."""

import csv

import pytest
from runs import TINY, run, run_in_subprocess

from mot_lightning.callbacks.telemetry import Throughput

ALL = ("AttentionMass", "GradientCosines", "LossByTime", "Separability", "Throughput", "TowerSimilarity")


def rows(folder, *arguments):
    assert run(folder, "fit", *TINY, "--trainer.log_every_n_steps=3", *arguments) == 0
    with (folder / "default/0/metrics.csv").open() as file:
        return [row for row in csv.DictReader(file) if row["train/loss"]]


def test_training_is_bitwise_as_without_and_values_are_in_range(tmp_path):
    plain = rows(tmp_path / "plain")
    parts = '{"class_path": "GradientNorms", "init_args": {"parts": true}}'
    watched = rows(tmp_path / "watched", *(f"--trainer.callbacks+={name}" for name in (*ALL, parts)))
    assert [{name: row[name] for name in plain[0]} for row in watched] == plain
    for row in watched:
        for name in ("image", "speech", "text"):
            assert float(row[f"train/{name}/tokens_per_second"]) > 0
            shares = [float(row[key]) for key in row if key.startswith(f"train/{name}/attention_to_")]
            assert sum(shares) == pytest.approx(1, abs=1e-4)
        assert all(-1 <= float(row[key]) <= 1 for key in row if "grad_cosine" in key)
        assert 0 <= float(row["train/separability/layer1"]) <= 1
        assert float(row["train/tflops_per_second"]) > 0
        assert all(0 < float(row[key]) < 1 for key in row if key.startswith("train/cka/layer0/"))
        assert sum(key.startswith("train/cka/layer0/") for key in row) == 3
        assert any(float(row[key]) > 0 for key in row if key.startswith("train/image/loss_at_t") and row[key])
        # the towers and objectives of a modality are all of its weights but the last norm
        parts = [float(row[f"train/{part}/text/grad_norm"]) for part in ("tower", "objective")]
        assert 0.9 * float(row["train/text/grad_norm"]) < sum(norm**2 for norm in parts) ** 0.5
    assert "train/mfu" not in watched[0]


def test_mfu_is_the_share_of_the_peak(tmp_path):
    spec = '{"class_path": "Throughput", "init_args": {"peak": 0.5}}'
    for row in rows(tmp_path, f"--trainer.callbacks+={spec}"):
        assert float(row["train/mfu"]) == pytest.approx(float(row["train/tflops_per_second"]) / 0.5, rel=1e-4)


def test_a_modality_that_comes_later_costs_what_it_costs(tmp_path):
    documents = ['--data.documents={"text": 0.5, "speech": 0.5}', "--data.batch_size=1", "--trainer.max_steps=12"]
    of_steps = rows(tmp_path, "--trainer.callbacks+=Throughput", "--trainer.log_every_n_steps=1", *documents)
    seen = {name: [float(row[f"train/{name}/tokens_per_second"] or 0) > 0 for row in of_steps]
            for name in ("text", "speech")}  # fmt: skip
    assert any(text and not speech for text, speech in zip(*seen.values(), strict=True))
    assert all(float(row["train/tflops_per_second"]) > 0 for row in of_steps)


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.timeout(240)
def test_sharded_weights_are_watched_too(tmp_path):
    watched = [f"--trainer.callbacks+={name}" for name in ("Throughput", "TowerSimilarity", "Separability")]
    ranks = ["--trainer.devices=2", "--trainer.accelerator=cpu", "--trainer.strategy=fsdp2"]
    steps = ["--trainer.max_steps=3", "--trainer.log_every_n_steps=1", f"--runs={tmp_path / 'runs'}"]
    run_in_subprocess("-m", "mot_lightning", "fit", *TINY, *watched, *ranks, *steps, cwd=tmp_path)
    with (tmp_path / "runs/default/0/metrics.csv").open() as file:
        of_steps = [row for row in csv.DictReader(file) if row["train/loss"]]
    for row in of_steps:
        assert float(row["train/tflops_per_second"]) > 0
        assert all(0 < float(row[key]) < 1 for key in row if key.startswith("train/cka/layer0/"))


def test_peak_is_checked():
    with pytest.raises(ValueError, match=r"Throughput.peak is 0, wanted a number above 0, or null"):
        Throughput(0)
