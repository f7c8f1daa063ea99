"""Curves of a run: what was measured, and nothing that was not."""

import re

import pytest

from mot_lightning.runs.curves import POINTS, Curve, draw, read_curves


def write(folder, text):
    (folder / "metrics.csv").write_text(text)
    return folder / "metrics.csv"


def test_empty_cells_and_numbers_that_are_none_are_left_out(tmp_path):
    rows = "step,train/a/loss,val/a/loss\n1,5,\n2,nan,\n2,,4\n3,inf,\n4,3,\n"
    assert read_curves(write(tmp_path, rows)) == [
        Curve("a", "loss", {"train": ([1, 4], [5.0, 3.0]), "val": ([2], [4.0])})
    ]


def test_losses_come_first_and_the_sum_only_where_it_is_one(tmp_path):
    columns = "step,train/loss,val/loss,val/{0}/a_quality,val/{0}/loss,train/{0}/grad_norm"
    one = read_curves(write(tmp_path, columns.format("a") + "\n1,1,1,1,1,1\n"))
    assert [(curve.modality, curve.quantity) for curve in one] == [("a", "loss"), ("a", "a_quality")]
    two = read_curves(write(tmp_path, columns.format("a") + ",val/b/loss\n1,1,1,1,1,1,1\n"))
    assert [curve.modality for curve in two] == ["", "a", "b", "a"]


@pytest.mark.parametrize("text", ["", "step\n", "step,train/a/loss\n1,\n", "step,train/a/loss\n1,nan\n"])
def test_a_run_without_numbers_has_no_curves(tmp_path, text):
    assert read_curves(write(tmp_path, text)) == []


def test_a_curve_takes_the_colours_of_its_page_and_links_to_nothing():
    svg = draw(Curve("a $x$ <b>", "loss", {"train": (range(9), range(9)), "val": ([3, 8], [2.0, 5.0])}))
    assert svg.startswith("<svg")
    assert {"var(--ink)", "var(--line)", "var(--one)", "var(--two)"} <= set(re.findall(r"var\(--\w+\)", svg))
    assert "#0102" not in svg
    assert "://" not in svg
    assert "a $x$ &lt;b&gt;: loss" in svg


def test_a_long_run_has_a_short_drawing():
    steps = list(range(50_000))
    svg = draw(Curve("a", "loss", {"train": (steps, [float(step % 7) for step in steps])}))
    assert len(svg) < 100 * POINTS
