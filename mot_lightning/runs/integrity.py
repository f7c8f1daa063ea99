"""Whether a checkpoint file is what was written: the SHA-256 digest that the file itself holds.

The digest is the file's last 64 characters, of all bytes before them. It is part of the zip archive's comment, so that
a checkpoint and its digest are one file, which no kill and no copy can separate, and torch.load reads it as ever. A
file without a digest was written by torch.save or by a Trainer without `AtomicCheckpointIO`: it has only the archive's
checksums, which leave out names and offsets.
"""

import hashlib
import io
import zipfile
from pathlib import Path
from typing import BinaryIO

MARK = b"sha256:"  # before the digest
DIGITS = 64  # of the digest


def add_digest(file: BinaryIO) -> None:
    """Add the digest to an archive that torch.save wrote: its last two bytes are the length of its comment, 0."""
    file.seek(-2, io.SEEK_END)
    file.write((len(MARK) + DIGITS).to_bytes(2, "little") + MARK)
    digest = _sha256(file, file.tell())
    file.seek(0, io.SEEK_END)
    file.write(digest)


def _sha256(file: BinaryIO, size: int) -> bytes:
    """The digest of the first `size` bytes, in hexadecimal."""
    digest = hashlib.sha256()
    file.seek(0)
    while size and (block := file.read(min(size, 1 << 20))):
        digest.update(block)
        size -= len(block)
    return digest.hexdigest().encode()


def recorded_digest(path: Path) -> str | None:
    """The digest that a checkpoint file holds, unchecked; None if it has none.

    Raises:
        zipfile.BadZipFile: the file ends neither with a digest nor as torch.save ends it.
    """
    with path.open("rb") as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(max(0, size - len(MARK) - DIGITS))
        end = file.read()
    if end.startswith(MARK):
        return end[len(MARK) :].decode("latin-1")
    if end[-22:-18] != b"PK\5\6" or end[-2:] != b"\0\0":  # the end of an archive without a comment
        raise zipfile.BadZipFile("damaged, or not a checkpoint")
    return None


def check_integrity(path: Path) -> None:
    """Check that a file is what was written: by its digest or, in a file without one, by the archive's checksums.

    Raises:
        zipfile.BadZipFile: it is damaged.
    """
    recorded = recorded_digest(path)
    with path.open("rb") as file:
        if recorded is not None:
            damaged = _sha256(file, path.stat().st_size - DIGITS) != recorded.encode("latin-1")
        else:
            with zipfile.ZipFile(file) as archive:  # torch.load does not verify checksums
                damaged = archive.testzip() is not None
    if damaged:
        raise zipfile.BadZipFile("damaged: it is not what was written")


def is_intact(path: Path) -> bool:
    """Whether there is a file that is not damaged."""
    try:
        check_integrity(path)
    except Exception:  # a damaged archive may raise anything
        return False
    return True
