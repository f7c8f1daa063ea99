"""A tar shard and its index, which says where each member begins. Nothing is extracted, and no link is followed."""

import json
import stat
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from mot_lightning.errors import BadMedia, NotWritten, say
from mot_lightning.runs.atomic import write_text

BLOCK = 512  # bytes: tar files consist of such
KINDS = {tarfile.LNKTYPE: "a hard link", tarfile.SYMTYPE: "a symbolic link", tarfile.CHRTYPE: "a device",
         tarfile.BLKTYPE: "a device", tarfile.FIFOTYPE: "a pipe", tarfile.GNUTYPE_SPARSE: "a sparse file"}  # fmt: skip


class Entry(NamedTuple):
    """A member of a shard."""

    key: str
    column: str
    offset: int  # of its content
    size: int
    kind: str = ""  # what it is if it is no plain file


class Shard:
    """An uncompressed tar file.

    Attributes:
        stamp: name, size and time of its last change, by which another file is told from it.

    Raises:
        ValueError: it is no file.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.stamp = path, _stamp(path)
        if not self.stamp:
            raise ValueError(f"{path} cannot be read, wanted a .tar file")

    def entries(self) -> list[Entry]:
        """Its members, from the file beside the shard if that fits it.

        Raises:
            ValueError: the shard is damaged, or cut short.
        """
        beside = self.path.with_name(f"{self.path.name}.index.jsonl")
        if (entries := self._read_index(beside)) is not None:
            return entries
        entries = list(self._members())
        content = json.dumps(entries)
        head = json.dumps({"shard": self.stamp, "crc32": zlib.crc32(content.encode())})
        try:
            write_text(beside, f"{head}\n{content}\n")
        except NotWritten as error:
            say(f"{error}: each run indexes the shard")
        return entries

    def _read_index(self, beside: Path) -> list[Entry] | None:
        """None if there is none, or one that is damaged or of another shard."""
        try:
            head, content = beside.read_bytes().splitlines() if beside.is_file() else (b"{}", b"")
            if json.loads(head) != {"shard": self.stamp, "crc32": zlib.crc32(content)}:
                return None
            return [Entry(*entry) for entry in json.loads(content)]
        except (OSError, ValueError, TypeError, RecursionError):
            return None

    def _members(self) -> Iterator[Entry]:
        size = int(self.stamp[1])
        try:
            with tarfile.open(self.path, "r:") as archive:
                for member in archive:
                    folder, _, name = member.name.rpartition("/")
                    key, _, column = name.partition(".")
                    if not 0 <= member.size <= size - member.offset_data:
                        raise ValueError(f"it is cut short inside {member.name!r}")
                    # neither folders nor hidden files
                    if not member.isdir() and key and column:
                        kind = "a sparse file" if member.issparse() else KINDS.get(member.type, "")
                        yield Entry(f"{folder}/{key}", column, member.offset_data, member.size, kind)
                end = archive.offset
        except (tarfile.TarError, OSError, ValueError, MemoryError, OverflowError) as error:
            raise ValueError(f"{self.path} is not an uncompressed tar file: {error or 'damaged'}") from None
        if end + BLOCK > size:
            raise ValueError(f"{self.path} is cut short: it has no end")
        self._check_end(end)

    def _check_end(self, end: int) -> None:
        """Raises ValueError unless zeros alone follow: else tarfile leaves out what comes after a damaged header."""
        with self.path.open("rb") as file:
            file.seek(end)
            while block := file.read(2**20):
                if block.strip(b"\0"):
                    raise ValueError(
                        f"{self.path} is damaged at byte {end}, or is several tar files in one, wanted one"
                    )

    def read(self, offset: int, size: int) -> bytes:
        """Bytes of the shard.

        Raises:
            BadMedia: it is not there any more, or is another one by now.
        """
        if _stamp(self.path) != self.stamp:
            raise BadMedia(f"{self.path} changed since it was indexed, or is gone, wanted the same file", "changed")
        try:
            with self.path.open("rb") as file:
                file.seek(offset)
                content = file.read(size)
        except OSError as error:
            raise BadMedia(f"{self.path} cannot be read: {error.strerror}", "unreadable") from None
        if len(content) != size:
            raise BadMedia(f"{self.path} is cut short: it ends before byte {offset + size}", "truncated")
        return content


def _stamp(path: Path) -> list[str | int]:
    """Empty if there is no such file; a pipe is none, and is not waited for."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return []
    return [path.name, status.st_size, status.st_mtime_ns] if stat.S_ISREG(status.st_mode) else []
