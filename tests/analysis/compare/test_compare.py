import json
from dataclasses import replace

import numpy as np
import pytest
from recorded_runs import recorded_run

from mot_lightning.analysis.compare.compare import compare
from mot_lightning.analysis.compare.recorded import read_run
from mot_lightning.analysis.compare.tables import flags_of, rows_of
from mot_lightning.errors import ConfigError

TOWERS = {"all": ["image", "text"]}


@pytest.fixture
def add(tmp_path):
    """Write a run and read it; returns it."""

    def add_run(experiment="dense", **settings):
        towers = TOWERS if experiment == "dense" else None
        folder = tmp_path / str(len([*tmp_path.iterdir()]))
        return read_run(recorded_run(folder, experiment, **{"towers": towers, **settings}))

    return add_run


def row(comparison, arm, modality):
    return next(row for row in comparison.rows if (row.arm, row.modality) == (arm, modality))


def test_known_slopes_are_found_for_each_modality(add):
    runs = [add(seed=seed) for seed in range(3)]
    runs += [add("mot", seed=seed, slopes={"image": 0.3, "text": 0.7}) for seed in range(3)]
    comparison = compare(runs)
    assert comparison.baseline == "dense"
    assert row(comparison, "mot", "image").steps.value == pytest.approx(0.3, abs=0.02)
    assert row(comparison, "mot", "text").steps.value == pytest.approx(0.7, abs=0.02)
    assert row(comparison, "dense, another seed", "image").steps == pytest.approx((1, 1, 1, 3))


def test_shares_of_flops_tokens_and_time_count_what_a_step_takes(add):
    comparison = compare([add(), add("mot", slopes={"image": 0.5}, flops=3000.0)])
    image = row(comparison, "mot", "image")
    assert image.flops.value == pytest.approx(3 * image.steps.value)
    assert image.seconds.value == pytest.approx(3 * image.steps.value)
    assert image.tokens.value == pytest.approx(image.steps.value)
    assert comparison.arms[0].runs[0.01][0].flops_per_step == 2 * 100 * 3 * 1000  # backward twice forward
    assert "tokens" not in rows_of(comparison)[0]


def test_flops_are_those_of_the_ledger_that_a_run_left(add):
    runs = [add(), add("mot")]
    (runs[1].folder / "ledger.json").write_text(json.dumps({"flops": {"training_per_step": 1.5e6}}))
    image = row(compare([runs[0], read_run(runs[1].folder)]), "mot", "image")
    assert image.flops.value == pytest.approx(1.5e6 / (2 * 100 * 3 * 1000))
    for broken in ("{", '{"flops": {}}'):
        (runs[1].folder / "ledger.json").write_text(broken)
        with pytest.raises(ConfigError, match="cannot be read as a run"):
            read_run(runs[1].folder)


def test_ledger_of_a_run_that_has_not_trained_is_none_of_its_steps(add):
    run = replace(add(), ledger={"flops": {"training_per_step": 1.5e6}})
    assert run.flops_per_step == 1.5e6
    assert np.isnan(replace(run, figures={}).flops_per_step)


def test_table_has_tokens_where_arms_differ_in_them_and_begins_with_the_baseline(add):
    runs = [add("mot"), add()]
    figures = {**runs[0].figures, "fit/image/tokens": 2 * runs[0].figures["fit/image/tokens"]}
    (runs[0].folder / "metrics.json").write_text(json.dumps(figures))
    head, first, second, *_ = rows_of(compare([read_run(runs[0].folder), runs[1]]))
    assert [first[1], second[1]] == ["dense", "mot"]
    assert second[head.index("tokens")] == "2.00"


def test_interval_widens_with_noise_between_seeds(add):
    def width(noise):
        runs = [add(arm, seed=seed, noise=noise) for seed in range(3) for arm in ("dense", "mot")]
        _, low, high, _ = row(compare(runs), "mot", "text").steps
        return high / low

    assert width(0.02) > width(0.002) > 1


def test_best_learning_rate_is_that_of_the_lowest_validation_loss(add):
    runs = [add(rate=rate, scale=scale) for rate, scale in ((0.01, 1.05), (0.02, 1.0), (0.04, 1.1))]
    comparison = compare([*runs, add("mot", rate=0.02)])
    assert comparison.arms[0].learning_rate == 0.02
    diverged = add(rate=0.005, scale=float("nan"))
    assert compare([diverged, *runs, add("mot", rate=0.02, seed=0)]).arms[0].learning_rate == 0.02
    assert row(comparison, "mot", "image").steps.value == pytest.approx(1)
    assert row(comparison, "dense, rate 0.01", "image").steps.value > 1.1  # the yardstick
    assert not any("edge" in flag for flag in flags_of(comparison))


def test_what_misleads_is_flagged(add):
    runs = [add(rate=rate, scale=scale) for rate, scale in ((0.01, 1.05), (0.02, 1.0))]
    schedule = {"model.optimizer.schedule": "cosine"}
    flags = " ".join(flags_of(compare([*runs, add("mot", tail=0.3)])))
    assert "0.02 is the edge of 0.01, 0.02" in flags
    assert "mot: ends more than 1% above its lowest loss" in flags
    assert "chosen on the split that scores" in flags
    assert "1 seed, wanted 3 or more" in flags
    assert "decays (cosine)" in " ".join(flags_of(compare([add(**schedule), add("mot", **schedule)])))


def test_interval_of_two_seeds_is_said_to_be_wide(add):
    runs = [add(arm, seed=seed, noise=0.001) for seed in range(2) for arm in ("dense", "mot")]
    comparison = compare(runs)
    assert any(
        "2 seeds, wanted 3 or more: the interval of two is 12.7 standard errors" in f for f in flags_of(comparison)
    )
    (a, b), (value, _, high, _) = row(comparison, "mot", "text").slopes.values(), row(comparison, "mot", "text").steps
    assert np.log(high / value) == pytest.approx(12.7 * abs(np.log(a / b)) / 2, rel=0.01)


def test_flat_curve_is_flagged(add):
    def flagged(spread):
        runs = [add(arm, seed=seed, scale=1 + spread * seed) for arm in ("dense", "mot") for seed in range(3)]
        return any("falls less in the range of the fit" in flag for flag in flags_of(compare(runs)))

    assert flagged(0.2)
    assert not flagged(0.001)


def test_nothing_is_flagged_where_nothing_misleads(add):
    runs = [
        add(arm, seed=seed, rate=rate, scale=1 + abs(rate - 0.02), split="test")
        for arm in ("dense", "mot")
        for seed in range(3)
        for rate in (0.01, 0.02, 0.04)
    ]
    assert flags_of(compare(runs)) == []


def test_test_losses_score_where_all_runs_have_them(add):
    runs = [add(split="test"), add("mot", split="test")]
    assert compare(runs).split == "test"
    assert compare([*runs, add("ffn")]).split == "val"


def test_a_test_at_the_end_is_no_curve(add):
    runs = [add(), add("mot", slopes={"image": 0.5})]
    for run in runs:
        path = run.folder / "metrics.csv"
        head, *lines = path.read_text().splitlines()
        step = lines[-1].split(",")[0]
        blank = "," * head.count(",")
        path.write_text("\n".join([f"{head},test/image/loss,test/text/loss", *(f"{line},," for line in lines),
                                   f"{step}{blank},1.0,1.0", ""]))  # fmt: skip
    comparison = compare([read_run(run.folder) for run in runs])
    assert comparison.split == "val"
    assert row(comparison, "mot", "image").steps.value == pytest.approx(0.5, abs=0.02)


def test_arm_that_is_never_as_good_is_a_lower_bound(add):
    comparison = compare([add(), add("mot", scale=3.0)])
    assert row(comparison, "mot", "image").steps.sign == ">"
    assert any("in 1 of 1 pairs of runs it stays above losses" in flag for flag in flags_of(comparison))


def test_arm_that_reaches_few_losses_is_flagged(add):
    comparison = compare([add(), add("mot", slopes={"image": 1.7, "text": 1.1})])
    assert row(comparison, "mot", "image").steps.value == pytest.approx(1.7, abs=0.03)
    assert [flag for flag in row(comparison, "mot", "image").flags if "losses by its end: s is of these alone" in flag]
    assert not [flag for flag in row(comparison, "mot", "text").flags if "losses" in flag]


def test_arm_that_is_better_at_once_has_an_upper_bound(add):
    comparison = compare([add(), add("mot", slopes={"image": 0.01})])
    assert row(comparison, "mot", "image").steps.sign == "<"
    assert any("at its first evaluation: s is an upper bound" in flag for flag in flags_of(comparison))


def test_runs_of_an_arm_with_another_model_are_refused(add):
    runs = [add(), add("mot"), add("mot", seed=1, **{"model.backbone.ffn_dim": 64})]
    with pytest.raises(ConfigError, match=r"both of mot, but differ in model\.backbone\.ffn_dim: None -> 64, wanted"):
        compare(runs)
    computed = {
        "model.backbone.compile": True,
        "model.pretrained": {"text": "a"},
    }  # no result depends on it
    assert compare([runs[0], runs[1], add("mot", seed=1, **computed)]).rows


def test_sizes_are_compared_each_with_its_own_baseline(add):
    runs = [add(arm, dim=dim, scale=32 / dim) for dim in (16, 32) for arm in ("dense", "mot")]
    comparison = compare(runs)
    assert {row.size: round(row.steps.value, 6) for row in comparison.rows if row.arm == "mot"} == {
        "16x2": 1,
        "32x2": 1,
    }
    assert any("mot 16x2" in cells for cells in rows_of(comparison))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"trainer": {"max_steps": 2000, "limit_val_batches": 2}},
            "differ in trainer.limit_val_batches: None -> 2, wanted runs of one data",
        ),
        ({"trainer": {"max_steps": 2000, "limit_test_batches": 2}}, "differ in trainer.limit_test_batches: None -> 2"),
        ({"data.class_path": "E"}, "differ in data.class_path: D -> E, wanted runs of one data, or --ignore data"),
        ({"max_steps": 1000}, "differ in trainer.max_steps: 2000 -> 1000, wanted runs of one budget"),
        ({"data.init_args": {"tokens": 4096}}, "wanted runs of one budget"),
        ({"trainer": {"max_steps": 2000, "accumulate_grad_batches": 2}}, "wanted runs of one budget"),
        ({"model.reduction": "segment"}, "differ in model.reduction: token -> segment, wanted runs of one schedule"),
        ({"model.optimizer.warmup_steps": 10}, "differ in model.optimizer.warmup_steps: 50 -> 10"),
    ],
)
def test_runs_that_differ_otherwise_are_refused_unless_told(add, change, message):
    runs = [add(), add("mot", **change)]
    with pytest.raises(ConfigError, match="differ in") as error:
        compare(runs)
    assert message in str(error.value)
    assert compare(runs, ignored=["data", "budget", "schedule"]).rows


def test_modality_of_another_codec_or_objective_is_left_out(add):
    runs = [add(), add("mot", **{"model.modalities.image.objective": {"class_path": "P"}})]
    comparison = compare(runs)
    assert comparison.modalities == ["text"]
    assert "image is left out: its objective is not the same in all runs" in flags_of(comparison)
    assert compare([add(), add("mot", slopes={"speech": 1.0})]).modalities == ["image", "text"]


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ({"experiment": "dense", "seed": 0}, "are both of dense with learning rate 0.01 and seed 0"),
        ({"experiment": "dense", "seed": 1}, "all runs are of dense, wanted a baseline and another arm"),
        ({"experiment": "mot", "seed": 1}, "mot and dense have no seed in common"),
        ({"experiment": "mot", "dim": 64}, "dense has no run of size 64x2"),
    ],
)
def test_arms_without_a_pair_are_refused(add, second, message):
    with pytest.raises(ConfigError, match=message):
        compare([add(), add(**second)])


def test_learning_rate_is_chosen_by_the_last_loss(add):
    runs = [add(rate=0.01, tail=1.0), add(rate=0.02, scale=1.01)]
    assert compare([*runs, add("mot")]).arms[0].learning_rate == 0.02


@pytest.mark.parametrize("seeds", [1, 2, 3])
def test_few_seeds_are_flagged(add, seeds):
    comparison = compare([add(arm, seed=seed) for arm in ("dense", "mot") for seed in range(seeds)])
    assert any("wanted 3 or more" in flag for flag in flags_of(comparison)) is (seeds < 3)


def test_edge_is_that_of_an_earlier_sweep(add):
    runs = [add(), add("mot")]
    sweep = {("dense", "32x2"): [0.005, 0.01, 0.02], ("mot", "32x2"): [0.01, 0.02]}
    flags = [flag for flag in flags_of(compare(runs, grids=sweep)) if "edge" in flag]
    assert flags == ["mot: its best learning rate 0.01 is the edge of 0.01, 0.02"]


def test_yardstick_has_the_other_learning_rates(add):
    comparison = compare([*(add(rate=rate, scale=1 + rate) for rate in (0.01, 0.02, 0.04)), add("mot")])
    yardsticks = {row.arm for row in comparison.rows if row.yardstick}
    assert yardsticks == {"dense", "dense, rate 0.02", "dense, rate 0.04"}


def test_s_is_a_lower_bound_if_one_seed_reaches_nothing(add):
    runs = [*(add(seed=seed) for seed in range(2)), add("mot", slopes={"image": 9.0}), add("mot", seed=1)]
    comparison = compare(runs)
    assert comparison.row("mot", "image").steps.sign == ">"
    assert comparison.row("mot", "text").steps.sign == ""
    with pytest.raises(KeyError):
        comparison.row("dense", "image")  # against itself


def test_baseline_is_the_only_dense_arm_or_the_first(add):
    runs = [add("mot"), add("moe", **{"towers": TOWERS, "model.backbone.experts": {"all": 4}}), add()]
    assert compare(runs).baseline == "dense"
    assert compare([*runs, add("wide", towers=TOWERS)]).baseline == "mot"


def test_unknown_baseline_is_refused(add):
    with pytest.raises(ConfigError, match="--baseline is 'x', wanted one of dense, mot"):
        compare([add(), add("mot")], baseline="x")


def test_runs_without_figures_have_no_shares_but_of_steps(add):
    runs = [add(), add("mot")]
    (runs[1].folder / "metrics.json").unlink()
    comparison = compare([runs[0], read_run(runs[1].folder)])
    assert np.isnan(row(comparison, "mot", "text").flops.value)
    assert any("tokens, FLOPs and time are unknown" in flag for flag in flags_of(comparison))
