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
            {"claims": [{"claim": "c", "arm": "x", "modality": "image", "below": 1}]},
            "names 'x', wanted one of dense, mot",
        ),
        ({"claims": [{"claim": "c", "arm": "mot"}]}, "modality"),
    ],
)
def test_bad_settings_are_refused(tmp_path, change, message):
    with pytest.raises(ConfigError) as error:
        read(tmp_path, **change)
    assert message in str(error.value)
