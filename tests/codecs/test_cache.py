"""The cache of codecs: written once, and refused if altered."""

import pytest

from mot_lightning.codecs.cache import CACHE, UnwritableCacheError, cached
from mot_lightning.errors import ConfigError


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv(CACHE, "~/cache")


def write_folder(path):
    path.mkdir()
    (path / "weights").write_text("1 2 3")


def test_entry_is_written_once(tmp_path):
    calls = []
    for _ in range(2):
        path = cached("a", lambda path: calls.append(path) or path.write_text("1 2 3"))
        assert path == tmp_path / "cache/a"
        assert path.read_text() == "1 2 3"
    assert len(calls) == 1


a_folder_or_a_file = pytest.mark.parametrize(
    "write", [write_folder, lambda path: path.write_text("1 2 3")], ids=["folder", "file"]
)


def content_of(path):
    return path / "weights" if path.is_dir() else path


@a_folder_or_a_file
def test_altered_entry_is_refused_in_one_line(write):
    path = cached("a", write)
    cached("a", write)
    content_of(path).write_text("1 2 4")
    with pytest.raises(ConfigError, match=f"^{path} was altered, wanted it as it was written") as refused:
        cached("a", write)
    assert "\n" not in str(refused.value)


@a_folder_or_a_file
def test_entry_without_a_digest_is_written_again(write):
    path = cached("a", write)
    content_of(path).write_text("1 2 4")
    path.with_name("a.sha256").unlink()
    assert content_of(cached("a", write)).read_text() == "1 2 3"


def test_entry_that_failed_leaves_nothing(tmp_path):
    def fail(path):
        path.write_text("half")
        raise OSError("no such picture")

    with pytest.raises(OSError, match="no such picture"):
        cached("a", fail)
    assert cached("a", lambda path: path.write_text("whole")).read_text() == "whole"


def test_cache_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "cache").write_text("")
    with pytest.raises(UnwritableCacheError, match=rf"{CACHE} is .*cache, wanted a folder to write to"):
        cached("a", write_folder)
