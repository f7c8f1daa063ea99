"""The digest in a checkpoint file: no bit of the file can change unnoticed."""

import zipfile

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from randomised import often

from mot_lightning.errors import ConfigError
from mot_lightning.runs.checkpoint import AtomicCheckpointIO, read_checkpoint
from mot_lightning.runs.integrity import check_integrity, is_intact, recorded_digest


@pytest.fixture
def path(tmp_path):
    AtomicCheckpointIO().save_checkpoint({"weights": torch.arange(9), "step": 1}, tmp_path / "a.ckpt")
    return tmp_path / "a.ckpt"


def test_file_is_still_an_archive_that_torch_and_zip_read(path):
    check_integrity(path)
    assert torch.equal(torch.load(path, weights_only=True, mmap=True)["weights"], torch.arange(9))
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.comment.decode() == f"sha256:{recorded_digest(path)}"


def test_each_single_bit_counts(path):
    content = path.read_bytes()
    accepted = []
    with path.open("r+b", buffering=0) as file:
        for i, byte in enumerate(content):
            for bit in range(8):
                file.seek(i)
                file.write(bytes([byte ^ 1 << bit]))
                if is_intact(path):
                    accepted.append((i, bit))
            file.seek(i)
            file.write(bytes([byte]))
    assert not accepted
    assert is_intact(path)


@pytest.mark.parametrize("cut", [1, 64, 71, 73, 200])
def test_shortened_and_longer_files_are_damaged(path, cut):
    content = path.read_bytes()
    path.write_bytes(content[:-cut])
    assert not is_intact(path)
    path.write_bytes(content + b"\0" * cut)
    assert not is_intact(path)


@often
def test_a_changed_file_is_refused_in_one_line(path, tried):
    """Bytes cut out, put in or replaced, anywhere in the file."""
    content = path.read_bytes()

    @tried
    @given(st.integers(0, len(content)), st.integers(0, 300), st.binary(max_size=300))
    def refused(start, length, new):
        changed = content[:start] + new + content[start + length :]
        path.write_bytes(changed)
        if changed == content:
            assert AtomicCheckpointIO().load_checkpoint(path)["step"] == 1
            return
        for read in (AtomicCheckpointIO().load_checkpoint, read_checkpoint):
            with pytest.raises(ConfigError) as refusal:
                read(path)
            assert "\n" not in str(refusal.value)
            assert str(path) in str(refusal.value)

    refused()


def test_file_without_a_digest_has_its_checksums_verified(path):
    torch.save({"weights": torch.arange(9)}, path)
    assert recorded_digest(path) is None
    check_integrity(path)
    content = path.read_bytes()
    position = content.index(torch.arange(9).numpy().tobytes())
    path.write_bytes(content[:position] + b"\1" + content[position + 1 :])
    assert not is_intact(path)


def test_trainer_loads_no_damaged_file(path):
    assert AtomicCheckpointIO().load_checkpoint(path, weights_only=True)["step"] == 1
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(ConfigError, match=r"checkpoint .*a\.ckpt cannot be read: damaged"):
        AtomicCheckpointIO().load_checkpoint(path, weights_only=True)
