from dataclasses import replace
from pathlib import Path

from recorded_runs import recorded_run

from mot_lightning.analysis.suite.planned import PlannedRun
from mot_lightning.analysis.suite.settings import Suite
from mot_lightning.cli.arguments import find_command, parse
from mot_lightning.experiment.resolve import resolve

SUITE = Suite(
    "s",
    {"dense": ["conf/backbone/dense.yaml"], "mot": []},
    "dense",
    ["conf/chameleon.yaml"],
    [0.01, 0.02],
    sweep_steps=10,
    settings={"trainer.max_steps": 99, "data.batch_size": 5, "model.backbone.untie": ["ffn"]},
)


def planned(folder, **settings):
    return PlannedRun(SUITE, folder, **{"arm": "dense", "learning_rate": 0.01, "seed": 3, **settings})


def test_arguments_give_the_config_of_the_run(tmp_path):
    def config_of(run):
        invocation = parse(find_command("fit"), run.arguments()[1:])
        return resolve(invocation.configs, invocation.settings)

    config = config_of(planned(tmp_path))
    assert (config["experiment"], config["seed"]) == ("dense", 3)
    assert config["model"]["optimizer"]["learning_rate"] == 0.01
    assert config["model"]["backbone"]["towers"] == {"all": ["image", "text"]}
    assert config["model"]["backbone"]["untie"] == ["ffn"]
    assert (config["trainer"]["max_steps"], config["data"]["init_args"]["batch_size"]) == (99, 5)
    sweep = config_of(planned(tmp_path, steps=10))
    assert sweep["trainer"]["max_steps"] == 10
    scored = [any("TestCurve" in str(one) for one in run["trainer"].get("callbacks", ())) for run in (config, sweep)]
    assert scored == [True, False]


def test_newest_folder_tells_how_far_a_run_has_come(tmp_path):
    run = planned(tmp_path)
    assert (run.finished, run.checkpoint, run.validation_loss) == (None, None, float("inf"))
    for number in ("0", "2", "10"):  # by number, not by name
        (run.home / number / "checkpoints").mkdir(parents=True)
        (run.home / number / "checkpoints/last.ckpt").touch()
    assert run.checkpoint == run.home / "10/checkpoints/last.ckpt"
    assert run.arguments()[:2] == ["fit", f"--ckpt_path={run.checkpoint}"]
    assert not any("learning_rate" in word or "seed=" in word for word in run.arguments())  # the checkpoint has them
    for name in ("11", "12", "copy"):
        recorded_run(run.home / name, "dense")
    assert run.finished == run.home / "12"
    assert run.validation_loss > 0


def test_one_validation_is_enough_to_choose_a_learning_rate_by(tmp_path):
    run = planned(tmp_path)
    recorded_run(run.home / "0", "dense", max_steps=50)
    assert 0 < run.validation_loss < float("inf")


def test_folders_differ_where_runs_do(tmp_path):
    runs = [planned(tmp_path, **change) for change in ({}, {"arm": "mot"}, {"seed": 4}, {"learning_rate": 0.02})]
    assert len({run.home for run in runs}) == 4
    assert all(Path(tmp_path) in run.home.parents for run in runs)


def test_resumed_run_may_use_the_classes_of_the_suite(tmp_path):
    run = PlannedRun(replace(SUITE, settings={"allow": "mine"}), tmp_path, "dense", 0.01, 0)
    assert "--allow=mine" in run.arguments()
    (run.home / "0/checkpoints").mkdir(parents=True)
    (run.home / "0/checkpoints/last.ckpt").touch()
    assert "--allow=mine" in run.arguments()
