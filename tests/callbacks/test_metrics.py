"""Logged rows: one of every step that was asked for, exact over validations."""

import pytest
from runs import TINY, rows, run


def test_the_total_loss_is_the_weighted_sum_of_the_modalities(trained):
    logged = [row for row in rows(trained) if "val/loss" in row]
    assert logged
    for row in logged:
        parts = {name: float(row[f"val/{name}/loss"]) for name in ("text", "image", "speech")}
        assert float(row["val/loss"]) == pytest.approx(parts["text"] + parts["image"] + 0.3 * parts["speech"], rel=1e-5)


def test_rows_fall_on_the_first_step_every_few_and_the_last(tmp_path):
    assert run(tmp_path, "fit", *TINY, "--metrics.every_n_steps=4") == 0
    assert [row["step"] for row in rows(tmp_path / "default/0") if "train/loss" in row] == ["1", "4", "6"]
