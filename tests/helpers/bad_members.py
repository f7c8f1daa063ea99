"""Bad or odd members of tar shards: for each record, what becomes of it, as in `bad_files`."""

import json
import pickle
import tarfile
from pathlib import Path

from bad_files import READ, picture
from shards import special, write_shard


class Attack:
    """What leaves a file where it is unpickled."""

    def __reduce__(self):
        return (open, ("executed", "w"))


PICTURE, PICKLE = picture(), pickle.dumps(Attack())
LONG, CONTROL = "long" * 80, "red\x1b[31m\n"
ODD_BYTES = b"\xff".decode(errors="surrogateescape")


def with_json(name, content):
    content = content if isinstance(content, bytes) else json.dumps(content).encode()
    return [(f"{name}.png", PICTURE), (f"{name}.json", content)]


# members of the record, and what becomes of it
MEMBERS = [
    ([("plain.png", PICTURE)], READ),
    ([special("link.png", tarfile.SYMTYPE, "/etc/passwd")], "no file"),
    ([special("hard.png", tarfile.LNKTYPE, "plain.png")], "no file"),
    ([special("up.png", tarfile.LNKTYPE, "../../secret.png")], "no file"),
    ([special("characters.png", tarfile.CHRTYPE)], "no file"),
    ([special("blocks.png", tarfile.BLKTYPE)], "no file"),
    ([special("pipe.png", tarfile.FIFOTYPE)], "no file"),
    ([special("sparse.png", tarfile.GNUTYPE_SPARSE)], "no file"),
    ([("../../outside.png", PICTURE)], READ),  # a name alone: nothing is written
    ([("/root.png", PICTURE)], READ),
    ([(f"{LONG}.png", PICTURE)], READ),
    ([(f"{CONTROL}.png", PICTURE)], READ),
    ([(f"{ODD_BYTES}.png", PICTURE)], READ),
    ([("twice.png", PICTURE), ("twice.png", picture("JPEG"))], "duplicate"),
    ([("file_and_link.png", PICTURE), special("file_and_link.png", tarfile.SYMTYPE, "/etc/passwd")], "duplicate"),
    ([("empty.png", b"")], "unreadable"),
    ([("cut.png", picture(size=(64, 64))[:900])], "unreadable"),
    ([("pickle.png", PICKLE)], "unreadable"),
    ([("a.png", PICTURE), ("a.pkl", PICKLE), ("a.pyd", PICKLE), ("a.pth", PICKLE), ("a.pt", PICKLE)], READ),
    ([("alone.pkl", PICKLE)], "record/nothing"),
    (with_json("keys", b'{"a": 1, "a": 2}'), "record/duplicate"),
    (with_json("member", {"png": "plain.png"}), "record/duplicate"),
    (with_json("half", b'{"a": '), "record/not JSON"),
    (with_json("list", ["a"]), "record/not JSON"),
    (with_json("deep", b"[" * 100_000), "record/not JSON"),
    (with_json("path", {"file": "/etc/passwd"}), READ),
    ([("latin.png", PICTURE), ("latin.txt", "é".encode("latin-1"))], "record/not UTF-8"),
    ([("linked.png", PICTURE), special("linked.txt", tarfile.SYMTYPE, "/etc/passwd")], "record/no file"),
]  # fmt: skip


def shard_of(folder: Path) -> tuple[Path, list[str]]:
    """A shard of these members, and what becomes of each record. Others may stand between those of one record."""
    first = [members[0] for members, _ in MEMBERS]
    others = [member for members, _ in MEMBERS for member in members[1:]]
    return write_shard(folder / "0.tar", [*first, *others]), [outcome for _, outcome in MEMBERS]
