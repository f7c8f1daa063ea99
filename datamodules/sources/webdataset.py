"""Records from tar files in WebDataset's layout, in any order: an index says where each member begins.

Nothing is extracted to a disk, and nothing is unpickled.
"""

import json
import tarfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from datamodules.sources.base import Member, Record, Source
from mot_lightning.errors import BadMedia, NotWritten, say
from mot_lightning.runs.atomic import write_json

BLOCK = 512  # bytes: tar files consist of such
TEXTS = ("txt", "cls")  # suffixes of members that are read as text


class WebDataset(Source):
    """Uncompressed tar files. Members that agree in their path up to the first dot of the name are one record.

    The columns are named by what follows the dot, such as `jpg`: files to decode, texts of `txt` and `cls`, and the
    keys of the mapping in a `json` member. The index of a shard is written beside it, as `SHARD.tar.index.json`.

    Args:
        path: a shard, or a folder of them; local or mounted.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.members: list[dict[str, tuple[Path, int, int]]] = []  # by column, of each record: shard, offset, size

    def setup(self) -> None:
        if self.members:
            return
        shards = sorted(self.path.glob("*.tar")) if self.path.is_dir() else [self.path]
        if not shards or not shards[0].is_file():
            raise ValueError(f"data.source.path {self.path} has no shards, wanted a .tar file or a folder of them")
        by_key: dict[tuple[Path, str], dict[str, tuple[Path, int, int]]] = {}
        for shard in shards:
            for key, column, offset, size in _index(shard):
                by_key.setdefault((shard, key), {})[column] = (shard, offset, size)
        if not by_key:
            raise ValueError(f"data.source.path {self.path} has empty shards, wanted files in them")
        self.members = list(by_key.values())

    def __len__(self) -> int:
        return len(self.members)

    def record(self, index: int) -> Record:
        record: dict[str, Any] = {}
        for column, (shard, offset, size) in self.members[index].items():
            name = f"{shard}, record {index}, {column}"
            read = partial(_read, shard, offset, size)
            if column == "json":
                record |= _mapping(name, read())
            else:
                record[column] = _text(name, read()) if column in TEXTS else Member(name, read)
        return record


def _index(shard: Path) -> list[tuple[str, str, int, int]]:
    """Key, column, offset and size of each member, from the file beside the shard if that fits it."""
    beside, status = shard.with_name(f"{shard.name}.index.json"), shard.stat()
    stamp = [status.st_size, status.st_mtime_ns]
    try:
        content = json.loads(beside.read_text(encoding="utf-8"))
        if content["shard"] == stamp:
            return [(str(key), str(column), int(offset), int(size)) for key, column, offset, size in content["members"]]
    except (OSError, ValueError, KeyError, TypeError):  # there is none, or it is damaged: it is made anew
        pass
    members = list(_members(shard))
    try:
        write_json(beside, {"shard": stamp, "members": members})
    except NotWritten as error:
        say(f"{error}: each run indexes the shard")
    return members


def _members(shard: Path) -> Iterator[tuple[str, str, int, int]]:
    size = shard.stat().st_size
    try:
        with tarfile.open(shard, "r:") as archive:
            for member in archive:
                folder, _, name = member.name.rpartition("/")
                key, _, column = name.partition(".")
                if member.offset_data + member.size > size:
                    raise ValueError(f"{shard} is cut short: it ends inside {member.name!r}")
                # neither folders, links and devices, nor hidden files
                if member.isreg() and not member.issparse() and key and column:
                    yield f"{folder}/{key}", column, member.offset_data, member.size
            end = archive.offset
    except tarfile.TarError as error:
        raise ValueError(f"{shard} is not an uncompressed tar file: {error}") from None
    if end + BLOCK > size:
        raise ValueError(f"{shard} is cut short: it has no end")


def _read(shard: Path, offset: int, size: int) -> bytes:
    try:
        with shard.open("rb") as file:
            file.seek(offset)
            content = file.read(size)
    except OSError as error:
        raise BadMedia(f"{shard} cannot be read: {error.strerror}", "unreadable") from None
    if len(content) != size:
        raise BadMedia(f"{shard} is cut short since it was indexed: it ends before byte {offset + size}", "truncated")
    return content


def _text(name: str, content: bytes) -> str:
    try:
        return content.decode("utf-8").removesuffix("\n")
    except UnicodeDecodeError:
        raise BadMedia(f"{name} is not UTF-8 text", "not UTF-8") from None


def _mapping(name: str, content: bytes) -> dict[str, Any]:
    try:
        mapping = json.loads(content)
    except (ValueError, RecursionError):
        raise BadMedia(f"{name} is not JSON", "not JSON") from None
    if not isinstance(mapping, dict):
        raise BadMedia(f"{name} holds a {type(mapping).__name__}, wanted a mapping of columns", "not JSON")
    return mapping
