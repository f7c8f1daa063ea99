"""Config files: where they are found, what they build on, and how they are read."""

import io
from pathlib import Path

import pytest
import yaml
from runs import ROOT, run, run_in_subprocess

from mot_lightning.config.files import conf_folder, find, parse_value, read_layers, read_yaml
from mot_lightning.config.merge import Override
from mot_lightning.errors import ConfigError


def test_a_base_is_laid_below_and_may_have_a_base_of_its_own(tmp_path):
    (tmp_path / "low.yaml").write_text("a: 1")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/middle.yaml").write_text("base: ../low.yaml\na: 2")
    (tmp_path / "high.yaml").write_text("base: sub/middle.yaml\na: 3")
    assert read_layers(tmp_path / "high.yaml") == ([{"a": 1}, {"a": 2}, {"a": 3}], True)


def test_a_base_may_be_a_shipped_config_or_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("base: conf/transfusion.yaml\nseed: 3")
    layers = read_layers(tmp_path / "mine.yaml")
    assert layers.configs[-2]["experiment"] == "transfusion"
    assert layers.on_default
    (tmp_path / "whole.yaml").write_text("base: null\nseed: 3")
    assert read_layers(tmp_path / "whole.yaml") == ([{"seed": 3}], False)
    (tmp_path / "above.yaml").write_text("base: whole.yaml")
    assert read_layers(tmp_path / "above.yaml") == ([{"seed": 3}, {}], False)


@pytest.mark.parametrize("bases", [{"a": "a"}, {"a": "b", "b": "a"}, {"a": "b", "b": "c", "c": "b"}])
def test_a_config_that_builds_on_itself_is_refused(tmp_path, bases):
    for name, base in bases.items():
        (tmp_path / f"{name}.yaml").write_text(f"base: {base}.yaml")
    with pytest.raises(ConfigError, match=r"leads back to it"):
        read_layers(tmp_path / "a.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [("base: gone.yaml", "gone.yaml does not exist"), ("base: [a]", "wanted the path of a config, or null"),
     ("a: [", "is not YAML"), ("[1]", "holds a list, wanted a mapping")],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_in_one_line(tmp_path, text, message):
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message) as refusal:
        read_layers(tmp_path / "a.yaml")
    assert "\n" not in str(refusal.value)


def test_a_folder_is_no_config(tmp_path):
    with pytest.raises(ConfigError, match="is a folder, wanted a YAML file"):
        find(tmp_path)


def test_shipped_configs_are_found_from_any_folder_and_a_file_there_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find(Path("conf/backbone/dense.yaml")) == ROOT / "conf/backbone/dense.yaml"
    assert read_layers(Path("conf/backbone/dense.yaml")).configs[-1]["model"]["backbone"]["towers"]
    (tmp_path / "conf/backbone").mkdir(parents=True)
    (tmp_path / "conf/backbone/dense.yaml").write_text("seed: 3")
    assert read_layers(Path("conf/backbone/dense.yaml")).configs == [{"seed": 3}]


def test_the_command_finds_them_too(tmp_path):
    output = run_in_subprocess(
        "-m", "mot_lightning", "fit", "--config=conf/backbone/dense.yaml", "--print_config", cwd=tmp_path
    )
    assert yaml.safe_load(output)["model"]["backbone"]["towers"] == {"all": ["image", "speech", "text"]}
    assert not list(tmp_path.iterdir())


def test_a_dash_is_standard_input(tmp_path, monkeypatch, capsys):
    for text, steps in (("trainer: {max_steps: 7}", 7), ("base: conf/transfusion.yaml\ntrainer.max_steps: 8", 8)):
        monkeypatch.setattr("sys.stdin", io.StringIO(text))
        assert run(tmp_path, "fit", "--config", "-", "--print_config") == 0
        assert yaml.safe_load(capsys.readouterr().out)["trainer"]["max_steps"] == steps


def test_numbers_are_numbers_and_an_override_is_kept_apart(tmp_path):
    (tmp_path / "a.yaml").write_text("a.b: 1e-3\nc: !override {d: 2}\ne: !override [1]\nf: '1e-3'")
    assert read_yaml(tmp_path / "a.yaml") == {
        "a": {"b": 0.001},
        "c": Override({"d": 2}),
        "e": Override([1]),
        "f": "1e-3",
    }


@pytest.mark.parametrize(
    ("text", "value"),
    [("3", 3), ("1e-3", 1e-3), ("true", True), ("null", None), ("[a, 1]", ["a", 1]), ("{a.b: 1}", {"a": {"b": 1}}),
     ("a: b: c", "a: b: c"), ("runs/x", "runs/x"), ("", None)],
)  # fmt: skip
def test_a_flags_value_reads_as_yaml(text, value):
    assert parse_value(text) == value


def test_every_shipped_yaml_reads():
    for path in conf_folder().rglob("*.yaml"):
        assert read_layers(path).on_default


def test_a_key_that_occurs_twice_is_refused_with_its_line(tmp_path):
    (tmp_path / "twice.yaml").write_text("seed: 1\nmodel:\n  control: a\n  control: b\n")
    with pytest.raises(ConfigError, match=r"is not YAML: key control occurs 2 times.*line 3"):
        read_yaml(tmp_path / "twice.yaml")
    (tmp_path / "merged.yaml").write_text("a: &a {x: 1}\nb: &b {y: 2}\nc: {<<: [*a, *b], x: 3}\n")
    assert read_yaml(tmp_path / "merged.yaml")["c"] == {"x": 3, "y": 2}


def test_home_folder_is_expanded_in_configs_and_bases(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "low.yaml").write_text("a: 1")
    (tmp_path / "high.yaml").write_text("base: ~/low.yaml\na: 2")
    assert read_layers(Path("~/high.yaml")) == ([{"a": 1}, {"a": 2}], True)


LAUGHS = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{i + 1}: &a{i + 1} [{','.join([f'*a{i}'] * 9)}]\n" for i in range(12)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [("a: &a\n  b: *a", "leads back to itself"), (LAUGHS, "over 100,000 values"), ("[" * 20_000, "nested too deeply"),
     ("a: !!timestamp x", "is not YAML"), ("a: !!python/object/apply:os.getcwd []", "is not YAML"),
     ("a: !!bool x", "is not YAML")],
)  # fmt: skip
def test_hostile_yaml_is_refused_in_one_line(tmp_path, text, message):
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message) as refusal:
        read_yaml(tmp_path / "a.yaml")
    assert "\n" not in str(refusal.value)


def test_value_with_an_alias_of_itself_is_refused():
    with pytest.raises(ConfigError, match="leads back to itself"):
        parse_value("&a [*a]")
    assert parse_value("!!timestamp x") == "!!timestamp x"
