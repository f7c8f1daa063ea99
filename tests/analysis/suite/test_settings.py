import pytest
import yaml

from mot_lightning.analysis.suite.settings import read_suite
from mot_lightning.analysis.suite.stages import current
from mot_lightning.cli.arguments import find_command, parse
from mot_lightning.config.files import conf_folder
from mot_lightning.errors import ConfigError
from mot_lightning.experiment.resolve import resolve

SHIPPED = sorted(conf_folder().glob("suite/*.yaml"))
MINIMAL = {
    "suite": "s",
    "configs": [],
    "arms": {"dense": "conf/backbone/dense.yaml", "mot": None},
    "baseline": "dense",
    "learning_rates": [0.01, 0.02],
    "sweep_steps": 10,
    "claims": [{"claim": "c", "arm": "mot", "modality": "image", "below": {"modality": "text"}}],
}


def read(folder, **changes):
    (folder / "s.yaml").write_text(yaml.safe_dump({**MINIMAL, **changes}))
    return read_suite(folder / "s.yaml")


def test_suite_is_read(tmp_path):
    suite = read(tmp_path)
    assert suite.arms == {"dense": ["conf/backbone/dense.yaml"], "mot": []}
    assert suite.claims[0].bound == ("mot", "text")


def test_settings_that_are_added_to_a_list_add_up(tmp_path):
    flags = [("trainer.callbacks+", "AttentionMass"), ("trainer.max_steps", "9"), ("trainer.max_steps", "8")]
    more = [("trainer.callbacks+", "{class_path: GradientNorms, init_args: {parts: true}}")]
    (tmp_path / "s.yaml").write_text(yaml.safe_dump({**MINIMAL, "settings": {"trainer": {"callbacks+": "LossByTime"}}}))
    suite = read_suite(tmp_path / "s.yaml", [*flags, *more])
    norms = {"class_path": "GradientNorms", "init_args": {"parts": True}}
    assert suite.settings == {"trainer.callbacks+": ["LossByTime", "AttentionMass", norms], "trainer.max_steps": "8"}
    (run, *_) = current(suite, tmp_path / "out").runs
    config = resolve([], [*parse(find_command("fit"), run.arguments()[1:]).settings])
    replaced = [*flags, ("trainer.callbacks", "[Separability]"), *more]
    assert list(read_suite(tmp_path / "s.yaml", replaced).settings)[1:] == ["trainer.callbacks", "trainer.callbacks+"]
    names = [callback["class_path"].rpartition(".")[2] for callback in config["trainer"]["callbacks"]]
    assert names == ["LossByTime", "AttentionMass", "GradientNorms"]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_suites_are_whole(path):
    suite = read_suite(path)
    assert suite.suite == path.stem
    assert suite.claims
    assert len(suite.seeds) >= 3
    assert len(suite.learning_rates) >= 3


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_suites_have_the_configs_of_their_runs(path, tmp_path):
    suite = read_suite(path)
    for run in current(suite, tmp_path).runs[:: len(suite.learning_rates)]:  # of each arm and size
        invocation = parse(find_command("fit"), run.arguments()[1:])
        config = resolve(invocation.configs, invocation.settings)
        assert config["experiment"] == run.arm
        assert {claim.modality for claim in suite.claims} <= {*config["model"]["modalities"]}
        towers = config["model"]["backbone"].get("towers", {}).values()
        assert {name for tower in towers for name in tower} <= {*config["model"]["modalities"]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"arm": {}}, "has no setting 'arm'"),
        ({"arms": {"dense": []}}, "arms is ['dense'], wanted two or more"),
        ({"baseline": "x"}, "baseline is 'x', wanted one of dense, mot"),
        ({"learning_rates": [0.01]}, "learning_rates is [0.01], wanted two or more, each above 0"),
        ({"learning_rates": [0.01, -1]}, "wanted two or more, each above 0"),
        ({"seeds": [0, 0]}, "seeds is [0, 0], wanted one or more, all different"),
        ({"seeds": [100]}, "sweep_seed is 100, wanted none of seeds"),
        ({"sweep_steps": 0}, "sweep_steps is 0, wanted 1 or more"),
        ({"suite": "a/b"}, "suite is 'a/b', wanted a plain name"),
        ({"claims": [{"claim": "c", "arm": "mot", "modality": "image"}]}, "wanted one"),
        (
            {"claims": [{"claim": "c", "arm": "dens", "modality": "image", "below": 1}]},
            "names 'dens', wanted one of dense, mot, did you mean dense?",
        ),
        ({"claims": [{"claim": "c", "arm": "mot"}]}, "claim 1 lacks modality, wanted the name of a modality"),
        ({"suite": 5}, "suite is 5, wanted a plain name"),
        ({"arms": ["a", "b"]}, "arms is ['a', 'b'], wanted a config file of each, or a list of them, by plain names"),
        ({"arms": {"dense": [], "a/b": []}}, "by plain names"),
        ({"configs": "conf/longer.yaml"}, "configs is 'conf/longer.yaml', wanted a list of config files"),
        ({"learning_rates": ["a", "b"]}, "learning_rates is ['a', 'b'], wanted a list of numbers"),
        ({"learning_rates": [0.1, float("inf")]}, "wanted a list of numbers"),
        ({"seeds": 3}, "seeds is 3, wanted a list of whole numbers"),
        ({"seeds": [0, True]}, "wanted a list of whole numbers"),
        ({"widened": 1.5}, "widened is 1.5, wanted a whole number"),
        (
            {"claims": [{"claim": "c", "arm": "mot", "modality": "image", "below": 1, "size": "big"}]},
            "claim 'c' has size 'big', wanted none: the suite has one size",
        ),
        (
            {"sizes": {"small": {"model.backbone.dim": 16}, "big": {"model.backbone.dim": 64}}},
            "claim 'c' has size '', wanted one of big, small",
        ),
        ({"sizes": {"..": {}}}, "wanted settings of each, by plain names"),
        ({"ignore": "data"}, "ignore is 'data', wanted a list of data, budget, schedule"),
        ({"ignore": ["dat"]}, "wanted a list of data, budget, schedule"),
        ({"claims": [{"claim": "c", "arm": "mot", "modality": "image", "blow": 1}]}, "did you mean below?"),
        (
            {"claims": [{"claim": "c", "arm": "mot", "modality": "image", "below": {"arms": "dense"}}]},
            "below is {'arms': 'dense'}, wanted a number, or an arm or a modality",
        ),
        ({"settings": {"seed": 3}}, "seed is set, but a suite determines it by seeds"),
        ({"settings": {"model": {"optimizer": {"learning_rate": 1}}}}, "a suite determines it by learning_rates"),
        ({"settings": {"proceses": 3}}, "proceses is no setting of a run, wanted one of"),
        ({"sizes": {"s": {"modle.backbone.dim": 16}}}, "modle.backbone.dim is no setting of a run"),
    ],
)
def test_bad_settings_are_refused(tmp_path, change, message):
    with pytest.raises(ConfigError) as error:
        read(tmp_path, **change)
    assert message in str(error.value)


@pytest.mark.parametrize("name", ["suite", "arms", "baseline", "configs", "learning_rates", "sweep_steps"])
def test_missing_settings_are_named(tmp_path, name):
    (tmp_path / "s.yaml").write_text(yaml.safe_dump({key: value for key, value in MINIMAL.items() if key != name}))
    with pytest.raises(ConfigError, match=f"s.yaml lacks {name}, wanted "):
        read_suite(tmp_path / "s.yaml")
