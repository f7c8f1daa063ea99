"""Files of safetensors: shared memory is written once, the mode is that of other files, and a full disk is said."""

import pytest
import torch

from mot_lightning.errors import ConfigError, NotWritten
from mot_lightning.interop.tensor_file import read_tensors, write_tensors


def test_tensors_that_share_memory_are_written_once(tmp_path):
    table, empty = torch.randn(5, 3), torch.zeros(0)
    tensors = {"head": table, "embedding": table.detach(), "turned": table.T, "one": empty, "two": empty}
    tied = write_tensors(tmp_path / "a.safetensors", tensors)
    assert tied == {"embedding": "head"}
    read = read_tensors(tmp_path / "a.safetensors", "model")
    assert read.keys() == {"head", "turned", "one", "two"}
    assert all(torch.equal(read[name], tensors[name]) for name in read)


def test_equal_tensors_make_equal_files(tmp_path):
    for name in "ab":
        write_tensors(tmp_path / name, {"x": torch.arange(4.0), "y": torch.zeros(2, 3)})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_others_may_read_it_as_any_new_file(tmp_path):
    (tmp_path / "other").touch()
    write_tensors(tmp_path / "a.safetensors", {"x": torch.zeros(2)})
    assert (tmp_path / "a.safetensors").stat().st_mode == (tmp_path / "other").stat().st_mode
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.safetensors", "other"]


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(NotWritten, match=r"file/a.safetensors cannot be written: "):
        write_tensors(tmp_path / "file/a.safetensors", {"x": torch.zeros(2)})


def test_a_damaged_file_raises_one_line(tmp_path):
    path = tmp_path / "a.safetensors"
    write_tensors(path, {"x": torch.zeros(200)})
    whole = path.read_bytes()
    for content in (whole[:-9], whole[:20], b"", b"\x80\x02pickle", b"\xff" * 64):
        path.write_bytes(content)
        with pytest.raises(ConfigError, match=r"^model .*a.safetensors cannot be read: damaged, cut short") as refusal:
            read_tensors(path, "model")
        assert "\n" not in str(refusal.value)
