"""Records from tar files in WebDataset's layout, in any order. Nothing is extracted to a disk or unpickled."""

from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from datamodules.sources.base import Member, Record, Source
from datamodules.sources.json_text import parse
from datamodules.sources.paths import inside
from datamodules.sources.shard import Shard
from mot_lightning.errors import BadMedia

TEXTS = ("txt", "cls")  # suffixes of members that are read as text


class Place(NamedTuple):
    """Where a member is."""

    shard: Shard
    offset: int
    size: int
    refusal: str = ""  # what is wrong with it


class WebDataset(Source):
    """Uncompressed tar files. Members that agree in their path up to the first dot of the name are one record.

    The columns are named by what follows the dot, such as `jpg`: files to decode, texts of `txt` and `cls`, and the
    keys of the mapping in a `json` member. The same path in two shards is two records. The index of a shard is written
    beside it, as `SHARD.tar.index.jsonl`. A member that is a link, a device or there twice is bad media.

    Args:
        path: a shard, or a folder of them; local or mounted.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.members: list[dict[str, Place]] = []  # by column, of each record

    def setup(self) -> None:
        if self.members:
            return
        shards = sorted(self.path.glob("*.tar")) if self.path.is_dir() else [self.path]
        if not shards or (shards == [self.path] and not self.path.is_file()):
            raise ValueError(f"data.source.path {self.path} has no shards, wanted a .tar file or a folder of them")
        by_key: dict[tuple[Path, str], dict[str, Place]] = {}
        for path in shards:
            shard = Shard(path if path == self.path else inside(self.path, path.name, f"data.source.path {self.path}"))
            for key, column, offset, size, kind in shard.entries():
                record = by_key.setdefault((path, key), {})
                refusal = "there twice" if column in record else kind
                record[column] = Place(shard, offset, size, refusal)
        if not by_key:
            raise ValueError(f"data.source.path {self.path} has empty shards, wanted files in them")
        self.members = list(by_key.values())

    def __len__(self) -> int:
        return len(self.members)

    def record(self, index: int) -> Record:
        record: dict[str, Any] = {}
        places = self.members[index]
        for column, place in places.items():
            name = f"{place.shard.path}, record {index}, {column}"
            read = partial(_read, name, place)
            if column == "json":
                record |= _mapping(name, read(), places.keys())
            else:
                record[column] = _text(name, read()) if column in TEXTS else Member(name, read)
        return record


def _read(name: str, place: Place) -> bytes:
    if place.refusal:
        reason = "duplicate" if place.refusal == "there twice" else "no file"
        raise BadMedia(f"{name} is {place.refusal}, wanted one file", reason)
    return place.shard.read(place.offset, place.size)


def _text(name: str, content: bytes) -> str:
    try:
        return content.decode("utf-8").removesuffix("\n")
    except UnicodeDecodeError:
        raise BadMedia(f"{name} is not UTF-8 text", "not UTF-8") from None


def _mapping(name: str, content: bytes, columns: Any) -> dict[str, Any]:
    try:
        mapping = parse(content)
    except BadMedia as error:
        raise BadMedia(f"{name}: {error}", error.reason) from None
    if not isinstance(mapping, dict):
        raise BadMedia(f"{name} holds a {type(mapping).__name__}, wanted a mapping of columns", "not JSON")
    for column in mapping.keys() & columns - {"json"}:
        raise BadMedia(f"{name} has the key {column!r}, which is a member too, wanted one of them", "duplicate")
    return mapping
