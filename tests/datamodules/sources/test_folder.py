"""Records of the files in a folder."""

import pytest

from datamodules.sources import Folder
from mot_lightning.errors import BadMedia


def records(path):
    folder = Folder(path)
    folder.setup()
    return [folder.record(i) for i in range(len(folder))]


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_files_of_one_stem_are_one_record_with_the_folder_as_label(tmp_path):
    touch(
        tmp_path, "cat/1.jpg", "cat/1.txt", "cat/1.WAV", "dog/1.png", "dog/.hidden.png", ".git/1.png", "dog/notes.pdf"
    )
    (tmp_path / "dog/folder.png").mkdir()
    assert records(tmp_path) == [
        {"label": "cat", "image": tmp_path / "cat/1.jpg", "text": tmp_path / "cat/1.txt",
         "audio": tmp_path / "cat/1.WAV"},
        {"label": "dog", "image": tmp_path / "dog/1.png"},
    ]  # fmt: skip


def test_two_files_of_one_kind_and_stem_are_refused(tmp_path):
    touch(tmp_path, "1.jpg", "1.png")
    with pytest.raises(ValueError, match=r"1.jpg and 1.png are both the image of a record, wanted one"):
        records(tmp_path)


def test_links_out_of_the_folder_are_refused(tmp_path):
    touch(tmp_path, "data/1.jpg", "secret.txt")
    (tmp_path / "data/1.txt").symlink_to(tmp_path / "secret.txt")
    with pytest.raises(ValueError, match=r"names '1.txt', wanted a file in"):
        records(tmp_path / "data")


def test_where_bad_records_are_skipped_links_out_and_second_files_are_bad_media(tmp_path):
    touch(tmp_path, "data/1.jpg", "data/1.png", "data/1.txt", "data/2.jpg", "secret.jpg")
    (tmp_path / "data/3.jpg").symlink_to(tmp_path / "secret.jpg")
    folder = Folder(tmp_path / "data")
    folder.skips_bad = True
    folder.setup()
    twice, good, link = (folder.record(i)["image"] for i in range(3))
    assert good == tmp_path / "data/2.jpg"
    for bad, reason in ((twice, "duplicate"), (link, "outside")):
        with pytest.raises(BadMedia) as refused:
            bad.read()
        assert refused.value.reason == reason


def test_no_folder_and_an_empty_one_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"has no files of type .png"):
        records(tmp_path)
    with pytest.raises(ValueError, match="is not a folder"):
        records(tmp_path / "no")
