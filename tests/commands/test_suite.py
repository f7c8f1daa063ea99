import shlex
import shutil

import pytest
import yaml
from recorded_runs import recorded_run
from runs import TINY, run_in_subprocess

from mot_lightning.analysis.suite import execute
from mot_lightning.analysis.suite.settings import read_suite
from mot_lightning.analysis.suite.stages import current
from mot_lightning.cli.main import main

SUITE = {
    "suite": "tiny",
    "configs": [],
    "settings": {"trainer.val_check_interval": 100},
    "arms": {"dense": "conf/backbone/dense.yaml", "mot": "conf/backbone/mot.yaml"},
    "baseline": "dense",
    "learning_rates": [0.01, 0.02],
    "sweep_steps": 100,
    "widened": 0,
    "seeds": [0, 1, 2],
    "claims": [{"claim": "MoT gains for images", "arm": "mot", "modality": "image", "below": 1}],
}
TOWERS = {"all": ["image", "text"]}


@pytest.fixture
def suite(tmp_path):
    """Write a suite; returns its file."""

    def written(**changes):
        (tmp_path / "tiny.yaml").write_text(yaml.safe_dump({**SUITE, **changes}))
        return tmp_path / "tiny.yaml"

    return written


@pytest.fixture
def finished(suite, tmp_path):
    """A suite whose runs have all finished, in the folder out; returns its file."""
    while left := current(read_suite(suite()), tmp_path / "out").left():
        for run in left:
            of_arm = {"slopes": {"image": 0.5}} if run.arm == "mot" else {"towers": TOWERS}
            of_run = {"seed": run.seed, "rate": run.learning_rate, "scale": 1 + run.learning_rate, "split": "test"}
            recorded_run(run.home / "0", run.arm, **of_run, **of_arm)
    return suite()


def test_finished_suite_is_compared_and_judged_at_once(finished, tmp_path, capsys):
    main(["suite", str(finished), "--out", str(tmp_path / "out")])
    output = capsys.readouterr().out
    assert "MoT gains for images" in output
    card = yaml.safe_load((tmp_path / "out/card.yaml").read_text())
    assert [claim["verdict"] for claim in card["claims"]] == ["holds"]
    line = ["suite", str(finished), "--out", str(tmp_path / "out")]
    assert card["command"] == f"python -m mot_lightning {shlex.join(line)}"
    assert "| MoT gains for images | holds | s(mot, image) | 0.50" in (tmp_path / "out/comparison.md").read_text()


def test_card_is_checked(finished, tmp_path, capsys):
    out = ["--out", str(tmp_path / "out")]
    main(["suite", str(finished), *out])
    card = yaml.safe_load((tmp_path / "out/card.yaml").read_text())
    (tmp_path / "card.yaml").write_text(yaml.safe_dump(card))
    check = ["suite", str(finished), *out, "--check", str(tmp_path / "card.yaml")]
    main(check)
    assert "verdicts are those of" in capsys.readouterr().out
    card["claims"][0]["verdict"] = "does not hold"
    (tmp_path / "card.yaml").write_text(yaml.safe_dump(card))
    with pytest.raises(SystemExit) as end:
        main(check)
    assert end.value.code == 1
    with pytest.raises(SystemExit) as end:
        main(["suite", str(finished), *out, "--check", str(tmp_path / "out/card.yaml")])
    assert end.value.code == 2
    assert "MoT gains for images: holds, where the card says does not hold" in capsys.readouterr().out


def test_list_has_the_commands_that_are_left(suite, tmp_path, capsys):
    arguments = ["suite", str(suite()), "--out", str(tmp_path / "out"), "--data.batch_size=4", "--list"]
    main(arguments)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert all(line.startswith("python -m mot_lightning fit --config=conf/backbone/") for line in lines)
    assert all("--data.batch_size=4" in line for line in lines)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["configs.yaml"]


def test_configs_of_a_list_are_those_of_the_suite(suite, refusal, tmp_path):
    """A scheduler runs the commands of a list, and another config would not be that of its runs."""
    out = ["--out", str(tmp_path / "out")]
    main(["suite", str(suite()), *out, "--list"])
    for change in (
        {"settings": {"trainer.val_check_interval": 50}},
        {"settings": {**SUITE["settings"], "init_from": "x"}},
    ):
        assert "wanted the same, or a new --out" in refusal("suite", str(suite(**change)), *out)


def test_a_run_that_was_deleted_is_all_that_is_left(finished, tmp_path, capsys):
    arguments = ["suite", str(finished), "--out", str(tmp_path / "out")]
    main(arguments)
    deleted = next(
        run for run in current(read_suite(finished), tmp_path / "out").runs if (run.arm, run.seed) == ("mot", 1)
    )
    shutil.rmtree(deleted.home)
    capsys.readouterr()
    main([*arguments, "--list"])
    (line,) = capsys.readouterr().out.splitlines()
    assert f"--runs={deleted.home.parent}" in line
    assert "--seed=1" in line


def test_an_arm_that_fails_is_in_the_report_and_the_others_are_judged(finished, suite, tmp_path, monkeypatch, capsys):
    def fail(runs, *_):
        return {run.name: "exit code 2: no reason" for run in runs if not run.finished}

    monkeypatch.setattr(execute, "execute", fail)
    path = suite(arms={**SUITE["arms"], "broken": "conf/backbone/moe_4x.yaml"})
    with pytest.raises(SystemExit) as end:
        main(["suite", str(path), "--out", str(tmp_path / "out")])
    assert end.value.code == 1
    assert "broken, rate 0.01, seed 100  exit code 2: no reason" in " ".join(capsys.readouterr().out.split("\n"))
    card = yaml.safe_load((tmp_path / "out/card.yaml").read_text())
    assert {*card["failures"]} == {f"broken, rate {rate}, seed 100" for rate in (0.01, 0.02)}
    assert [claim["verdict"] for claim in card["claims"]] == ["holds"]
    assert "Failed runs" in (tmp_path / "out/comparison.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "suite has 0 files, wanted one"),
        (["FILE", "FILE"], "suite has 2 files, wanted one"),
        (["FILE", "--processes=0"], "--processes is 0, wanted at least 1"),
        (["missing.yaml"], "missing.yaml"),
        (["FILE", "--check=missing.yaml"], "missing.yaml cannot be read"),
        (["FILE", "--proceses=2"], "did you mean processes?"),
        (["FILE", "--seed=2"], "seed is set, but a suite determines it by seeds"),
        (["FILE", "--out=/dev/null/x"], "--out is /dev/null/x, wanted a folder to write to: /dev/null is a file"),
    ],
)
def test_bad_input_is_one_line(suite, refusal, arguments, message):
    assert message in refusal("suite", *(str(suite()) if word == "FILE" else word for word in arguments))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"arms": {**SUITE["arms"], "mot": "conf/backbone/mott.yaml"}},
            "mot: --config conf/backbone/mott.yaml does not",
        ),
        (
            {"settings": {}},
            "dense: trainer.val_check_interval is 500, wanted at most 375: trainer.max_steps is 1500, with 4",
        ),
        (
            {"settings": {"trainer.val_check_interval": 500, "trainer.accumulate_grad_batches": 4}},  # it counts steps
            "dense: trainer.val_check_interval is 500, wanted at most 375",
        ),
        (
            {"sizes": {"thin": {"model.backbone.ffn_dim": 64}, "fat": {"model.backbone.ffn_dim": 256}}, "claims": []},
            "sizes fat and thin of dense both have dim 128 and depth 4, wanted another one",
        ),
        ({"configs": ["missing.yaml"]}, "dense: --config missing.yaml does not exist"),
        ({"claims": [{**SUITE["claims"][0], "modality": "smell"}]}, "names 'smell', wanted one of image, speech, text"),
        ({"claims": [{**SUITE["claims"][0], "below": {"modality": "smell"}}]}, "names 'smell', wanted one of image"),
    ],
)
def test_configs_are_checked_before_anything_runs(suite, refusal, tmp_path, change, message):
    assert message in refusal("suite", str(suite(**change)), "--out", str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_suite_does_not_take_runs_of_other_settings_for_its_own(finished, suite, refusal, tmp_path):
    out = ["--out", str(tmp_path / "out")]
    main(["suite", str(finished), *out])
    message = refusal("suite", str(finished), *out, "--model.backbone.dim=16")
    assert "has runs of dense with another model.backbone.dim: 128 -> 16, wanted the same, or a new --out" in message
    assert "sweep_steps: 100 -> 200" in refusal("suite", str(suite(sweep_steps=200)), *out)
    main(["suite", str(suite(claims=[])), *out])  # what is not of the runs may change


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.timeout(600)
def test_suite_runs_goes_on_and_survives_a_failing_arm(suite, tmp_path):
    (tmp_path / "broken.yaml").write_text("experiment: broken\nmodel: {backbone: {kv_heads: 3}}\n")
    arms = {**SUITE["arms"], "broken": str(tmp_path / "broken.yaml")}
    settings = dict(word.removeprefix("--").split("=") for word in TINY if "max_steps" not in word)
    settings |= {"trainer.max_steps": 12, "trainer.val_check_interval": 3}
    path = suite(arms=arms, settings=settings, sweep_steps=12, seeds=[0, 1])
    command = ["-m", "mot_lightning", "suite", str(path), "--out", str(tmp_path / "out"), "--processes=2"]
    output = run_in_subprocess(*command, cwd=tmp_path, timeout=500, code=1)
    assert "broken, rate 0.01, seed 100 failed: exit code 2: error: " in output
    card = yaml.safe_load((tmp_path / "out/card.yaml").read_text())
    assert {figure["arm"] for figure in card["figures"] if not figure["yardstick"]} == {"mot"}
    assert {*card["failures"]} == {"broken, rate 0.01, seed 100", "broken, rate 0.02, seed 100"}
    before = sorted(tmp_path.glob("out/runs/**/metrics.csv"))
    run_in_subprocess(*command, cwd=tmp_path, timeout=500, code=1)  # only what failed runs again
    assert sorted(tmp_path.glob("out/runs/**/metrics.csv")) == before
