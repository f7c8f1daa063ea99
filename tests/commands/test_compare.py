import csv

import pytest
import yaml
from recorded_runs import recorded_run
from runs import run_in_subprocess

from mot_lightning.cli.main import main

TOWERS = {"all": ["image", "text"]}


@pytest.fixture
def runs(tmp_path):
    recorded_run(tmp_path / "runs/dense/0", towers=TOWERS)
    recorded_run(tmp_path / "runs/mot/0", "mot", slopes={"image": 0.5})
    return tmp_path / "runs"


def compare(capsys, *arguments):
    main(["compare", *map(str, arguments)])
    return capsys.readouterr().out


def test_files_have_what_the_terminal_shows(runs, capsys, tmp_path):
    output = compare(capsys, runs / "dense/0", runs / "mot/0", "--out", tmp_path / "out")
    assert "0.50" in output
    files = {file.name for file in (tmp_path / "out").iterdir()}
    pictures = {"losses.png", "shares.png", "steps_at_equal_loss.png"}
    assert files == {"comparison.csv", "comparison.md", "index.html", *pictures}
    with (tmp_path / "out/comparison.csv").open() as file:
        rows = {(row["arm"], row["modality"]): row for row in csv.DictReader(file)}
    assert float(rows["mot", "image"]["steps"]) == pytest.approx(0.5, abs=0.01)
    for name in ("comparison.md", "index.html"):
        assert "smoothed by a moving mean over 3" in (tmp_path / "out" / name).read_text()


def test_comparison_imports_no_torch(runs, tmp_path):
    program = """
import sys
from mot_lightning.cli.main import main
main(["compare", *sys.argv[1:]])
assert "torch" not in sys.modules
"""
    folders = [str(runs / "dense/0"), str(runs / "mot/0")]
    assert "page:" in run_in_subprocess("-c", program, *folders, "--out", str(tmp_path / "out"), cwd=tmp_path)


def test_scaling_is_fitted_over_three_sizes(tmp_path, capsys):
    folders = [
        recorded_run(tmp_path / f"{arm}{dim}", arm, dim=dim, scale=dim**-0.1, flops=float(dim * dim),
                     towers=TOWERS if arm == "dense" else None)
        for arm in ("dense", "mot") for dim in (16, 32, 64)
    ]  # fmt: skip
    compare(capsys, *folders, "--out", tmp_path / "out")
    assert (tmp_path / "out/losses_over_flops.png").is_file()
    assert "decades of FLOPs" in (tmp_path / "out/comparison.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "compare has 0 run folders, wanted at least 2"),
        (["dense/0", "empty"], "empty has no config.yaml, wanted the folder of a run"),
        (["dense/0", "unvalidated"], "unvalidated has 0 validations in metrics.csv, wanted at least 4"),
        (["dense/0", "broken"], "broken cannot be read as a run"),
        (["dense/0", "mot/0", "--window=2"], "--window is 2, wanted an odd number"),
        (["dense/0", "mot/0", "--start=1"], "--start is 1, wanted a fraction from 0 to below 1"),
        (["dense/0", "mot/0", "--ignore=dat"], "--ignore is 'dat', wanted one of data, budget, schedule"),
        (["dense/0", "mot/0", "--basline=mot"], "did you mean --baseline?"),
        (["dense/0", "untrained"], "untrained cannot be read as a run: its config has no 'trainer'"),
        (["dense/0", "without_total"], "without_total cannot be read as a run: its metrics.csv has no val/loss"),
        (["dense/0", "mot/0", "--out=dense/0/config.yaml"], "wanted a folder to write to"),
        (["dense/0", "other/0"], "the runs have no modality in common"),
    ],
)
def test_bad_input_is_one_line(runs, refusal, arguments, message):
    (runs / "empty").mkdir()
    recorded_run(runs / "unvalidated", "mot")
    (runs / "unvalidated/metrics.csv").write_text("step,train/loss\n1,2\n")
    recorded_run(runs / "broken", "mot")
    (runs / "broken/config.yaml").write_text("seed: 0")
    recorded_run(runs / "untrained", "mot")
    config = yaml.safe_load((runs / "untrained/config.yaml").read_text())
    del config["trainer"]
    (runs / "untrained/config.yaml").write_text(yaml.safe_dump(config))
    recorded_run(runs / "without_total", "mot")
    rows = (runs / "without_total/metrics.csv").read_text()
    (runs / "without_total/metrics.csv").write_text(rows.replace("val/loss", "val/other"))
    recorded_run(runs / "other/0", "mot", slopes={"speech": 1.0}, **{"model.modalities.image": {}})
    text = (runs / "other/0/metrics.csv").read_text()
    (runs / "other/0/metrics.csv").write_text(text.replace("/image/", "/a/").replace("/text/", "/b/"))
    arguments = [word.replace("=dense", f"={runs}/dense") if "--" in word else str(runs / word) for word in arguments]
    assert message in refusal("compare", *arguments)
