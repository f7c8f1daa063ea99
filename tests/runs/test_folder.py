"""The run folder: the next free number, never overwritten, one for all ranks."""

import os

import pytest
import yaml
from runs import TINY, run

from mot_lightning.errors import ConfigError
from mot_lightning.runs import folder as run_folder


def test_the_next_number_is_above_all_that_are_taken(tmp_path):
    assert run_folder.choose(str(tmp_path), "a") == tmp_path / "a/0"
    for name in ("0", "7", "notes"):
        (tmp_path / "a" / name).mkdir(parents=True)
    assert run_folder.choose(str(tmp_path), "a") == tmp_path / "a/8"


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert run_folder.choose("~/runs", "a") == tmp_path / "runs/a/0"
    monkeypatch.chdir(tmp_path)
    assert run_folder.choose("here", "a") == tmp_path / "here/a/0"


@pytest.mark.parametrize("experiment", ["", ".", "..", "a/b", "../a", "a\\b", "/a", "a\0", None, ["a"]])
def test_an_experiment_is_a_plain_folder_name(tmp_path, experiment):
    with pytest.raises(ConfigError, match="wanted a plain folder name"):
        run_folder.choose(str(tmp_path), experiment)


def test_a_folder_that_is_there_is_left_alone(tmp_path):
    assert run_folder.create(tmp_path / "a/0", {"seed": 3})
    assert not run_folder.create(tmp_path / "a/0", {"seed": 4})
    assert yaml.safe_load((tmp_path / "a/0/config.yaml").read_text()) == {"seed": 3}
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be created"):
        run_folder.create(tmp_path / "file/0", {})


def test_ranks_that_are_launched_choose_the_first_ones_folder_and_no_later_run_does(tmp_path, monkeypatch):
    before = dict(os.environ)
    with run_folder.announced(tmp_path / "a/3"):
        assert run_folder.choose(str(tmp_path), "a") == tmp_path / "a/0"
        monkeypatch.setenv("LOCAL_RANK", "1")
        assert run_folder.choose(str(tmp_path), "a") == tmp_path / "a/3"
        monkeypatch.delenv("LOCAL_RANK")
    assert dict(os.environ) == before


def test_a_run_that_another_overtook_takes_the_next_number(tmp_path, monkeypatch):
    create = run_folder.create

    def overtaken(folder, config):
        if folder.name == "0":
            folder.mkdir(parents=True, exist_ok=True)  # the other run's
        return create(folder, config)

    monkeypatch.setattr(run_folder, "create", overtaken)
    assert run(tmp_path, "fit", *TINY, "--trainer.max_steps=1") == 0
    assert not [*(tmp_path / "default/0").iterdir()]
    assert (tmp_path / "default/1/metrics.json").is_file()
