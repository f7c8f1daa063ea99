"""Text files."""

import pytest

from mot_lightning.media import Text


def test_text_round_trips_through_a_file(tmp_path):
    path = Text().write("naïve 七", tmp_path / "sample")
    assert path == tmp_path / "sample.txt"
    assert path.read_text(encoding="utf-8") == "naïve 七\n"
    assert Text().read(path).strip() == "naïve 七"


def test_many_texts_are_written_line_by_line(tmp_path):
    (path,) = Text().write_many(["two", "three"], ["a 2", "a 3"], tmp_path / "samples")
    assert path.read_text(encoding="utf-8") == "a 2 -> two\na 3 -> three\n"


def test_non_utf8_file_raises(tmp_path):
    path = tmp_path / "bad.txt"
    path.write_bytes(b"\xff\xfe\x00a")
    with pytest.raises(ValueError, match="is not UTF-8 text") as refused:
        Text().read(path)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_suffix_is_appended_to_a_name_with_a_dot(tmp_path):
    path = Text().write("a", tmp_path / "v1.5")
    assert path.name == "v1.5.txt"
    assert Text().read(path) == "a"


def test_bytes_instead_of_text_raise():
    with pytest.raises(ValueError, match="text is of type bytes, wanted str"):
        Text().check(b"a")
