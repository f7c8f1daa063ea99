from types import SimpleNamespace

import numpy as np
import pytest
from recorded_runs import recorded_run

from mot_lightning.analysis.compare.compare import compare
from mot_lightning.analysis.compare.curves import Curve
from mot_lightning.analysis.compare.laws import frontier, laws
from mot_lightning.analysis.compare.plots import scaling
from mot_lightning.analysis.compare.recorded import read_run

STEPS = np.unique(np.geomspace(50, 50_000, 200).astype(int))


@pytest.mark.parametrize(("a", "b", "scale"), [(0.3, 0.3, 3), (0.34, 0.28, 3), (0.25, 0.35, 12)])
def test_exponent_of_a_known_law_is_found(a, b, scale):
    """Of losses A / N^a + B / D^b, the best at C = 6 N D falls as C^(-ab / (a + b)) (Chinchilla, arXiv 2203.15556)."""
    runs = [
        SimpleNamespace(flops_per_step=6 * n * 100, curve=Curve(STEPS, 3 * n**-a + scale * (100 * STEPS) ** -b))
        for n in 2.0 ** np.arange(8, 18)
    ]
    comparison = SimpleNamespace(curve=lambda run, _: run.curve)
    flops, losses = frontier(comparison, runs, "text")
    assert np.log10(flops[-1] / flops[0]) > 1
    assert -np.polyfit(np.log(flops), np.log(losses), 1)[0] == pytest.approx(a * b / (a + b), rel=0.12)


def test_no_evaluation_is_below_the_frontier():
    rng = np.random.default_rng(0)
    runs = [
        SimpleNamespace(
            flops_per_step=n, curve=Curve(STEPS, STEPS**-0.2 * n**-0.2 * np.exp(rng.normal(0, 0.1, len(STEPS))))
        )
        for n in (1.0, 4.0, 16.0)
    ]
    flops, losses = frontier(SimpleNamespace(curve=lambda run, _: run.curve), runs, "text")
    for run in runs:
        x, y = np.log(run.curve.steps * run.flops_per_step), np.log(run.curve.losses)
        inside = (x >= np.log(flops[0])) & (x <= np.log(flops[-1]))
        assert (y[inside] >= np.interp(x[inside], np.log(flops), np.log(losses)) - 1e-9).all()
    nearest = [np.argmin([np.abs(run.curve.losses - loss).min() for run in runs]) for loss in losses]
    assert nearest.count(nearest[0]) == nearest.count(nearest[-1]) == 1  # of the cheapest and the most expensive run


def test_laws_are_of_arms_with_three_sizes_and_fall(tmp_path):
    settings = {16: "dense", 32: "dense", 64: "dense", 17: "mot", 33: "mot"}
    folders = [recorded_run(tmp_path / f"{dim}", arm, dim=dim, scale=dim**-0.3, flops=float(dim * dim))
               for dim, arm in settings.items()]  # fmt: skip
    folders += [recorded_run(tmp_path / f"base{dim}", "dense", dim=dim) for dim in (17, 33)]
    fitted = laws(compare([read_run(folder) for folder in folders], "dense"))
    assert {(law.arm, law.modality) for law in fitted} == {("dense", "image"), ("dense", "text")}
    assert all(law.exponent.value > 0 and law.decades > 1 for law in fitted)


def test_sizes_of_other_seeds_are_left_out_of_picture_and_law(tmp_path):
    """Three sizes of one seed, and a fourth of another seed alone."""
    seeds = {16: 0, 32: 0, 64: 0, 128: 1}
    folders = [
        recorded_run(tmp_path / f"{arm}{dim}", arm, dim=dim, seed=seed, scale=dim**-0.3, flops=float(dim * dim))
        for arm in ("dense", "mot")
        for dim, seed in seeds.items()
    ]
    comparison = compare([read_run(folder) for folder in folders], "dense")
    fitted = laws(comparison)
    assert {law.sizes for law in fitted} == {3}
    assert scaling(comparison, fitted).axes
