from dataclasses import replace

import pytest
from recorded_runs import recorded_run

from mot_lightning.analysis.suite.settings import Suite
from mot_lightning.analysis.suite.stages import current, widen

SUITE = Suite("s", {"dense": [], "mot": []}, "dense", [], [0.01, 0.02, 0.04], sweep_steps=10, seeds=(0, 1))
BEST = {"dense": 0.02, "mot": 0.04}


def finish(run, best=None):
    """Write the folder of a finished run, whose loss is the lowest at its arm's best learning rate."""
    best = (best or BEST)[run.arm]
    scale = 1 + 10 * abs(run.learning_rate - best)
    recorded_run(run.home / "0", run.arm, seed=run.seed, rate=run.learning_rate, scale=scale)


def test_stages_follow_from_what_has_run(tmp_path):
    stage = current(SUITE, tmp_path)
    assert stage.title == "Sweep"
    assert {(run.arm, run.learning_rate) for run in stage.runs} == {
        (a, r) for a in SUITE.arms for r in (0.01, 0.02, 0.04)
    }
    assert {(run.seed, run.steps) for run in stage.runs} == {(100, 10)}
    for run in stage.runs[:-1]:
        finish(run)
    assert current(SUITE, tmp_path).left() == [stage.runs[-1]]
    finish(stage.runs[-1])

    wider = current(SUITE, tmp_path)  # the best of mot was the edge
    assert wider.left() == [run for run in wider.runs if (run.arm, run.learning_rate) == ("mot", 0.08)]
    finish(*wider.left())

    last = current(SUITE, tmp_path)
    assert last.title == "Runs"
    assert [(run.arm, run.learning_rate, run.seed, run.steps) for run in last.runs] == [
        (arm, rate, seed, None) for seed in (0, 1) for arm, rate in (("dense", 0.02), ("dense", 0.01), ("mot", 0.04))
    ]  # the second best of dense is its yardstick
    for run in last.runs:
        finish(run)
    assert current(SUITE, tmp_path).left() == []


def test_sweep_is_widened_so_often_and_no_further(tmp_path):
    endless = {"dense": 1.0, "mot": 1.0}
    for _ in range(10):
        stage = current(SUITE, tmp_path)
        if stage.title == "Runs":
            break
        for run in stage.left():
            finish(run, endless)
    assert stage.rates["mot", ""][0] == 0.16  # 0.04 doubled twice
    assert stage.tried["mot", ""] == [0.01, 0.02, 0.04, 0.08, 0.16]  # so that it is an edge


def test_failed_runs_are_not_tried_again_and_not_chosen(tmp_path):
    failed = set()
    while left := (stage := current(SUITE, tmp_path, failed)).left(failed):
        for run in left:
            if run.learning_rate == 0.02 or (run.arm, run.seed) == ("mot", 1):
                failed.add(run.name)
            else:
                finish(run)
    assert stage.title == "Runs"
    assert 0.02 not in stage.rates["dense", ""]
    assert stage.tried["dense", ""] == [0.005, 0.01, 0.02, 0.04]  # what failed among them
    assert {run.name for run in stage.runs if not run.finished} == {"mot, rate 0.04, seed 1"}


def test_arm_without_a_finished_sweep_has_no_runs(tmp_path):
    failed = {run.name for run in current(SUITE, tmp_path).runs if run.arm == "mot"}
    for run in current(SUITE, tmp_path, failed).left(failed):
        finish(run)
    assert {run.arm for run in current(SUITE, tmp_path, failed).runs} == {"dense"}


def test_each_size_is_swept_and_run(tmp_path):
    suite = replace(SUITE, sizes={"small": {"model.backbone.dim": 16}, "large": {"model.backbone.dim": 64}}, widened=0)
    best = {"small": {"dense": 0.04, "mot": 0.02}, "large": {"dense": 0.01, "mot": 0.01}}
    for run in current(suite, tmp_path).runs:
        assert f"--model.backbone.dim={16 if run.size == 'small' else 64}" in run.arguments()
        finish(run, best[run.size])
    stage = current(suite, tmp_path)
    assert {(run.size, run.arm): run.learning_rate for run in stage.runs if run.arm == "mot"} == {
        ("small", "mot"): 0.02, ("large", "mot"): 0.01
    }  # fmt: skip
    assert len({run.home for run in stage.runs}) == len(stage.runs) == 2 * 2 * 3


@pytest.mark.parametrize(
    ("rates", "best", "wider"),
    [
        ([0.01, 0.02], 0.02, [0.01, 0.02, 0.04]),
        ([0.02, 0.01], 0.01, [0.005, 0.01, 0.02]),
        ([0.003, 0.01], 0.003, [0.0009, 0.003, 0.01]),
        ([1e-3, 3e-3, 1e-2], 1e-2, [1e-3, 3e-3, 1e-2, 0.0333333]),
        ([0.01, 0.02, 0.04], 0.02, [0.01, 0.02, 0.04]),
    ],
)
def test_rates_are_widened_beyond_an_edge_alone(rates, best, wider):
    assert widen(rates, best) == wider
