"""Logged metrics: the total loss, and which steps are logged."""

from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch.strategies import SingleDeviceStrategy
from runs import TINY, rows, run

from mot_lightning.training.metrics import learning_rates, reduced


def test_total_loss_is_the_weighted_sum_over_modalities(trained):
    logged = [row for row in rows(trained) if "val/loss" in row]
    assert logged
    for row in logged:
        parts = {name: float(row[f"val/{name}/loss"]) for name in ("text", "image", "speech")}
        assert float(row["val/loss"]) == pytest.approx(parts["text"] + parts["image"] + 0.3 * parts["speech"], rel=1e-5)


def test_metrics_are_logged_at_the_first_every_nth_and_last_step(tmp_path):
    assert run(tmp_path, "fit", *TINY, "--trainer.log_every_n_steps=4") == 0
    assert [row["step"] for row in rows(tmp_path / "default/0") if "train/loss" in row] == ["1", "4", "6"]


def test_sums_of_a_single_rank_need_no_float64_of_its_device():
    """MPS has none, and no two ranks."""
    trainer = SimpleNamespace(world_size=1, strategy=SingleDeviceStrategy("mps"))
    sums = torch.rand(3, 5, dtype=torch.float64)
    assert torch.equal(reduced(trainer, sums).stack(), sums)


def test_the_common_learning_rate_is_of_weights_without_settings_of_their_own():
    weight = torch.nn.Parameter(torch.ones(1))
    named = {"params": [weight], "lr": 0.1, "name": "tower/text/adamw_matrices"}
    common = {"params": [torch.nn.Parameter(torch.ones(1))], "lr": 0.3}
    rates = {"train/tower/text/learning_rate": 0.1}
    assert learning_rates(torch.optim.SGD([named])) == rates
    assert learning_rates(torch.optim.SGD([named, common])) == {"train/learning_rate": 0.3, **rates}
