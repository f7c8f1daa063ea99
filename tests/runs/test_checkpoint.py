"""Checkpoint files: written whole or not at all; what is damaged, foreign or of another version is refused."""

import pytest
import torch

from mot_lightning.errors import ConfigError
from mot_lightning.pipeline import MoTPipeline
from mot_lightning.runs.checkpoint import FORMAT, AtomicCheckpointIO, read_checkpoint
from mot_lightning.runs.find import find_checkpoint


@pytest.fixture
def content(trained):
    return torch.load(trained / "checkpoints/last.ckpt", weights_only=True)


def test_damaged_and_foreign_files_are_refused(refusal, tmp_path, trained):
    intact = (trained / "checkpoints/last.ckpt").read_bytes()
    flipped = bytearray(intact)
    middle = slice(len(flipped) // 2, len(flipped) // 2 + 100)
    flipped[middle] = bytes(255 - byte for byte in flipped[middle])  # of the same length
    for name, data in (("cut", intact[: len(intact) // 2]), ("flipped", flipped), ("text", b"no checkpoint")):
        (tmp_path / f"{name}.ckpt").write_bytes(data)
        message = refusal("test", f"--ckpt_path={tmp_path / f'{name}.ckpt'}")
        assert f"{name}.ckpt cannot be read: damaged, or not a checkpoint" in message
    torch.save({"state_dict": {}}, tmp_path / "other.ckpt")
    assert "is not a checkpoint of mot_lightning" in refusal("test", f"--ckpt_path={tmp_path / 'other.ckpt'}")
    (tmp_path / ".temporary.ckpt").touch()  # of a writer that was killed
    several = "is a folder with 4 checkpoints, wanted one of cut.ckpt, flipped.ckpt, other.ckpt, ..."
    assert several in refusal("test", f"--ckpt_path={tmp_path}")


@pytest.mark.parametrize(("number", "age"), [(None, "an earlier"), (1, "an earlier"), (FORMAT + 1, "a later")])
@pytest.mark.parametrize("command", ["fit", "test", "generate", "ledger"])
def test_another_versions_format_is_refused_in_one_line(refusal, tmp_path, content, command, number, age):
    del content["format"]
    torch.save(content if number is None else {**content, "format": number}, tmp_path / "other.ckpt")
    message = refusal(command, f"--ckpt_path={tmp_path / 'other.ckpt'}")
    assert f"is of {age} version of mot_lightning (format {number or 1}), wanted format {FORMAT}" in message


def test_from_python_too(tmp_path, content):
    torch.save({**content, "format": 1}, tmp_path / "other.ckpt")
    with pytest.raises(ConfigError, match=r"checkpoint .*other.ckpt is of an earlier version"):
        MoTPipeline.from_pretrained(tmp_path / "other.ckpt")


def test_nothing_is_run_to_read_one(tmp_path, content):
    torch.save({**content, "code": test_from_python_too}, tmp_path / "code.ckpt")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_checkpoint(tmp_path / "code.ckpt")


def test_last_checkpoint_has_a_predecessor_which_is_named_when_it_is_damaged_or_gone(refusal, tmp_path, content):
    last, previous = tmp_path / "last.ckpt", tmp_path / "last-1.ckpt"
    for step in (3, 6):
        AtomicCheckpointIO().save_checkpoint({**content, "global_step": step}, last)
    assert (read_checkpoint(last)["global_step"], read_checkpoint(previous)["global_step"]) == (6, 3)
    last.write_bytes(last.read_bytes()[:-9])
    offer = f"; the checkpoint before it is {previous}"
    assert refusal("test", f"--ckpt_path={last}").endswith(offer)
    last.unlink()
    assert refusal("test", f"--ckpt_path={last}").endswith(f"does not exist{offer}")
    assert find_checkpoint(tmp_path) == previous
    previous.write_bytes(previous.read_bytes()[:-9])  # no help
    assert refusal("test", f"--ckpt_path={last}").endswith("does not exist")


def test_only_of_the_last_one(tmp_path):
    for _ in range(2):
        AtomicCheckpointIO().save_checkpoint({}, tmp_path / "best.ckpt")
    assert [file.name for file in tmp_path.iterdir()] == ["best.ckpt"]


def test_a_failed_write_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    path = tmp_path / "checkpoints/last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"step": 1}, path)
    with pytest.raises(Exception, match="pickle"):
        AtomicCheckpointIO().save_checkpoint({"step": 2, "weights": torch.zeros(9), "lambda": lambda: 0}, path)
    assert torch.load(path, weights_only=True) == {"step": 1}
    assert [file.name for file in path.parent.iterdir()] == ["last.ckpt"]
