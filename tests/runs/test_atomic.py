"""Files written whole or not at all, whatever happens in between."""

import json
import math
from pathlib import Path

import pytest
from full_disk import full_disk

from mot_lightning.errors import NotWritten
from mot_lightning.runs.atomic import replacing, write_json, write_text


def test_full_disk_leaves_the_old_file_and_names_it(tmp_path):
    write_text(tmp_path / "a.txt", "old")
    with full_disk("*/.a.txt.*"), pytest.raises(NotWritten, match=r"a\.txt cannot be written: No space left on device"):
        write_text(tmp_path / "a.txt", "new")
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("a.txt", "old")]


def test_error_of_the_writer_itself_is_not_called_a_full_disk(tmp_path):
    with pytest.raises(ValueError, match="mine"), replacing(tmp_path / "a.txt"):
        raise ValueError("mine")
    assert not list(tmp_path.iterdir())


def test_leftovers_of_killed_writes_are_removed_at_the_next_one_and_nothing_else(tmp_path):
    for name in (".a.txt.123", ".b.txt.123", ".a-1.txt.7", ".a.txt.old", "a.txt.5"):
        (tmp_path / name).touch()
    with replacing(tmp_path / "a.txt", tmp_path / "a-1.txt"):
        pass
    assert {file.name for file in tmp_path.iterdir()} == {"a.txt", ".b.txt.123", ".a.txt.old", "a.txt.5"}


@pytest.mark.parametrize("links", [True, False])
def test_previous_file_is_kept_with_and_without_hard_links(tmp_path, monkeypatch, links):
    def refused(*_):
        raise PermissionError

    if not links:
        monkeypatch.setattr(Path, "hardlink_to", refused)
    for number in "123":
        with replacing(tmp_path / "a", tmp_path / "b") as file:
            file.write(number.encode())
            names = {path.name for path in tmp_path.iterdir() if path.name[0] != "."}
            assert "a" in names or number == "1"  # at any moment before
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {"a": "3", "b": "2"}


def test_json_has_no_numbers_that_json_does_not_have(tmp_path):
    write_json(
        tmp_path / "metrics.json", {"loss": math.nan, "losses": [1.5, math.inf, {"deep": -math.inf}], "steps": 3}
    )
    content = json.loads((tmp_path / "metrics.json").read_text(), parse_constant=pytest.fail)
    assert content == {"loss": None, "losses": [1.5, None, {"deep": None}], "steps": 3}
