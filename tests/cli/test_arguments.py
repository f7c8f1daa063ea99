"""A command line, split into options and settings."""

from pathlib import Path

import pytest

from mot_lightning.cli.arguments import find_command, parse
from mot_lightning.errors import ConfigError


def test_options_and_settings_are_told_apart_and_stay_in_order():
    words = ["--seed=1", "--config=a.yaml", "--model.x", "2", "--config", "b.yaml", "--model.x=a=b", "--allow=mine"]
    invocation = parse(find_command("fit"), words)
    assert invocation.configs == [Path("a.yaml"), Path("b.yaml")]
    assert invocation.settings == [("seed", "1"), ("model.x", "2"), ("model.x", "a=b")]
    assert invocation.allow == ["mine"]
    assert not invocation.print_config


def test_a_commands_own_options_have_types_and_defaults():
    words = ["--ckpt_path=a.ckpt", "--prompt=a", "--prompt=b", "--top_p", "1", "--guidance.image=3"]
    invocation = parse(find_command("generate"), words)
    assert invocation.options["prompt"] == ["a", "b"]
    assert invocation.options["top_p"] == 1
    assert (invocation.options["num_samples"], invocation.options["temperature"]) == (1, None)
    assert invocation.settings == [("guidance.image", "3")]


@pytest.mark.parametrize(
    ("command", "words", "message"),
    [
        ("fit", ["--seed"], "--seed has no value"),
        ("fit", ["--seed", "--runs=a"], "--seed has no value"),
        ("fit", ["--config"], "--config has no value"),
        ("fit", ["seed=1"], "'seed=1' is not an option, wanted --name=value"),
        ("test", [], "test needs --ckpt_path"),
        ("generate", ["--ckpt_path=a", "--num_samples=1.5"], "--num_samples is '1.5', wanted a whole number"),
        ("generate", ["--ckpt_path=a", "--top_p=high"], "--top_p is 'high', wanted a number"),
        ("generate", ["--ckpt_path=a", "--seed=true"], "--seed is 'true', wanted a whole number"),
    ],
)
def test_what_cannot_be_split_is_refused(command, words, message):
    with pytest.raises(ConfigError) as refusal:
        parse(find_command(command), words)
    assert message in str(refusal.value)


def test_an_option_is_never_taken_for_another_that_it_begins():
    assert parse(find_command("fit"), ["--conf=a"]).settings == [("conf", "a")]


def test_options_that_are_paths_are_absolute(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    fit = parse(find_command("fit"), ["--ckpt_path=~/a.ckpt", "--init_from=b.ckpt"])
    assert fit.ckpt_path == tmp_path / "home/a.ckpt"
    assert fit.options["init_from"] == tmp_path / "b.ckpt"
    generate = parse(find_command("generate"), ["--ckpt_path=a", "--prompts=~/p.txt", "--out=o"])
    assert generate.options["prompts"] == tmp_path / "home/p.txt"
    assert generate.options["out"] == tmp_path / "o"
    for name in ("out", "prompts"):
        with pytest.raises(ConfigError, match=f"^--{name} is '', wanted a path$"):
            parse(find_command("generate"), ["--ckpt_path=a", f"--{name}="])
