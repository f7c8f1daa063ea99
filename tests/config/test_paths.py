"""Paths are expanded and made absolute once, where they enter."""

from pathlib import Path

import pytest

from mot_lightning.config.paths import absolute, absolute_or_name, check_folder
from mot_lightning.errors import ConfigError


@pytest.fixture(autouse=True)
def _folders(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.mark.parametrize(
    ("given", "expected"),
    [("a", "here/a"), ("../a", "a"), ("~/a", "home/a"), ("~", "home"), (".", "here"), (Path("~/a"), "home/a")],
)
def test_path_is_absolute_and_stays_the_same(tmp_path, given, expected):
    path = absolute(given, "x")
    assert path == tmp_path / expected
    assert absolute(path, "x") == path


def test_relative_path_starts_from_the_folder(tmp_path):
    assert absolute("a", "x", tmp_path / "other") == tmp_path / "other/a"
    assert absolute("~/a", "x", tmp_path / "other") == tmp_path / "home/a"


@pytest.mark.parametrize("given", ["", "~nobody_has_this_name/a"])
def test_path_that_is_none_raises_a_one_line_error(given):
    for read in (absolute, absolute_or_name):
        with pytest.raises(ConfigError, match=f"^x is '{given}', wanted a path"):
            read(given, "x")


def test_path_that_cannot_be_looked_up_raises_a_one_line_error(tmp_path):
    (tmp_path / "here/circle").symlink_to("circle")
    for given, reason in (("a" * 300, "too long"), ("circle/a", "symbolic links"), ("a\0b", "null character")):
        with pytest.raises(ConfigError, match=f"^x is .*{reason}"):
            absolute(given, "x")
        assert absolute_or_name(given, "x") == given


def test_folder_without_permission_raises_a_one_line_error(monkeypatch):
    def refuse(path, **_):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "stat", refuse)
    with pytest.raises(ConfigError, match=r"^x is 'locked/a', wanted a path that can be used: Permission denied$"):
        absolute("locked/a", "x")


def test_symbolic_links_and_addresses_are_kept(tmp_path):
    (tmp_path / "here/link").symlink_to(tmp_path / "elsewhere")
    assert absolute("link/a", "x") == tmp_path / "here/link/a"
    assert absolute_or_name("s3://bucket/a", "x") == "s3://bucket/a"


def test_name_on_a_hub_stays_a_name_unless_it_is_there(tmp_path):
    assert absolute_or_name("owner/name", "x") == "owner/name"
    assert absolute_or_name("./owner", "x") == str(tmp_path / "here/owner")
    (tmp_path / "here/owner/name").mkdir(parents=True)
    assert absolute_or_name("owner/name", "x") == str(tmp_path / "here/owner/name")


def test_place_where_no_folder_can_be_is_named(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file/below"):
        with pytest.raises(ConfigError, match=f"^--out is {path}, wanted a folder to write to: .*file is a file$"):
            check_folder(path, "--out")
    check_folder(tmp_path / "new/below", "--out")
    assert not (tmp_path / "new").exists()


def test_read_only_folder_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: False)  # tests may run as root, who may write anywhere
    with pytest.raises(ConfigError, match=r"wanted a folder to write to: .* is read-only"):
        check_folder(tmp_path / "new", "--out")
