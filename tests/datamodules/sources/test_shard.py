"""Tar shards that are damaged, change while they are read, or have an index of others."""

import json
import os
import tarfile

import pytest
from shards import png, write_shard

from datamodules.columns import ImageColumn
from datamodules.sources import WebDataset

MEMBERS = [("a.png", png(10)), ("a.txt", b"x" * 3000), ("b.png", png(20)), ("b.txt", b"y" * 3000)]


def records(path):
    source = WebDataset(path)
    source.setup()
    return [source.record(i) for i in range(len(source))]


def contents(path):
    return [[record["png"].read(), record["txt"]] for record in records(path)]


def refusal(path):
    with pytest.raises(ValueError, match=str(path)) as refused:
        records(path)
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.fixture
def shard(tmp_path):
    path = write_shard(tmp_path / "0.tar", MEMBERS)
    os.utime(path, (0, 0))  # long ago, so that a change shows in its time
    return path


@pytest.mark.parametrize("size", [8704, 8192, 8191, 5000, 4609, 4608, 4400, 1024, 700, 512, 300, 1])
def test_a_shard_that_is_cut_short_is_refused(shard, size):
    """In a header, in a member, after one, or before the zeros at the end."""
    shard.write_bytes(shard.read_bytes()[:size])
    assert "is cut short" in (message := refusal(shard)) or "is not an uncompressed tar file: " in message
    assert not shard.with_name("0.tar.index.jsonl").exists()


@pytest.mark.parametrize("place", [0, 100, 124, 148, 156])
def test_a_damaged_header_between_members_is_no_end(shard, place):
    content = bytearray(shard.read_bytes())
    content[1024 + place] ^= 0x0F
    shard.write_bytes(content)
    assert "is damaged at byte 1024, or is several tar files in one" in refusal(shard)


def test_shards_that_were_concatenated_are_refused(shard):
    shard.write_bytes(2 * shard.read_bytes())
    assert "several tar files in one, wanted one" in refusal(shard)


@pytest.mark.parametrize("size", [-512, -1024, -1, 2**62])
@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_impossible_sizes_are_refused(shard, size, kind):
    member = tarfile.TarInfo("a.txt")
    member.type = kind
    header = bytearray(member.tobuf(tarfile.GNU_FORMAT))
    header[124:136] = (
        b"\xff" + size.to_bytes(11, "big", signed=True) if size < 0 else b"\x80" + size.to_bytes(11, "big")
    )
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    shard.write_bytes(bytes(header) + b"12 a=bcdefg\n".ljust(10 * 512, b"\0"))
    refusal(shard)


def test_what_is_no_shard_is_refused(tmp_path):
    write_shard(tmp_path / "0.tar", MEMBERS)
    os.mkfifo(tmp_path / "1.tar")
    assert "1.tar cannot be read, wanted a .tar file" in refusal(tmp_path)
    (tmp_path / "1.tar").unlink()
    (tmp_path / "1.tar").mkdir()
    assert "1.tar cannot be read, wanted a .tar file" in refusal(tmp_path)


def test_shards_are_no_links_out_of_their_folder(tmp_path):
    (tmp_path / "data").mkdir()
    write_shard(tmp_path / "secret.tar", MEMBERS)
    (tmp_path / "data/0.tar").symlink_to(tmp_path / "secret.tar")
    assert "names '0.tar', wanted a file in" in refusal(tmp_path / "data")


def damaged(index, how):
    head, content = index.read_bytes().splitlines()
    members = json.loads(content)
    members[0][2] += 512
    return {
        "cut": index.read_bytes()[:-30],
        "empty": b"",
        "head": head,
        "binary": b"\xff\0" * 9,
        "deep": b"[" * 10**5,
        "digit": head + b"\n" + json.dumps(members).encode(),
        "other lines": b"1\n2\n",
        "swapped": content + b"\n" + head,
        "no members": head + b"\n[]\n",
        "impossible": head + b"\n" + json.dumps([["a", "png", -1, 10**15, ""]]).encode(),
    }[how]


HOWS = ["cut", "empty", "head", "binary", "deep", "digit", "other lines", "swapped", "no members", "impossible"]


@pytest.mark.parametrize("how", HOWS)
def test_a_damaged_index_is_made_anew(shard, how):
    index = shard.with_name("0.tar.index.jsonl")
    before = contents(shard)
    whole = index.read_bytes()
    index.write_bytes(damaged(index, how))
    assert contents(shard) == before == [[png(10), "x" * 3000], [png(20), "y" * 3000]]
    assert index.read_bytes() == whole


def test_an_index_that_is_a_pipe_is_not_waited_for(shard):
    os.mkfifo(shard.with_name("0.tar.index.jsonl"))
    assert len(records(shard)) == 2


def test_the_index_of_another_shard_or_an_older_one_is_not_used(tmp_path):
    """Though the shards are of one size and time."""
    for name, level in (("0", 10), ("1", 20)):
        members = [("a.png", png(level)), ("b.txt", b"x" * 700)]
        write_shard(tmp_path / f"{name}.tar", members if name == "0" else members[::-1])
        os.utime(tmp_path / f"{name}.tar", (0, 0))
    records(tmp_path)
    (tmp_path / "0.tar.index.jsonl").write_bytes((tmp_path / "1.tar.index.jsonl").read_bytes())
    assert records(tmp_path)[0]["png"].read() == png(10)
    write_shard(tmp_path / "0.tar", [("a.png", png(30)), ("b.txt", b"x" * 700)])
    assert records(tmp_path)[0]["png"].read() == png(30)


CHANGES = {
    "gone": lambda shard: shard.unlink(),
    "cut": lambda shard: shard.write_bytes(shard.read_bytes()[:700]),
    "other": lambda shard: write_shard(shard, [("c.png", png(99)), *MEMBERS]),
    "of the same size": lambda shard: write_shard(shard.with_name("new"), MEMBERS[::-1]).replace(shard),
    "folder": lambda shard: (shard.unlink(), shard.mkdir()),
    "pipe": lambda shard: (shard.unlink(), os.mkfifo(shard)),
    "link": lambda shard: (shard.unlink(), shard.symlink_to("/etc/passwd")),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_shard_that_changes_while_it_is_read_gives_no_other_data(shard, change):
    source = WebDataset(shard)
    source.setup()
    picture = source.record(0)["png"]
    assert picture.read() == png(10)
    CHANGES[change](shard)
    for attempt in (lambda: ImageColumn("png").decode(picture), lambda: source.record(1)):
        with pytest.raises(ValueError, match=r"0.tar changed since it was indexed, or is gone") as refused:
            attempt()
        assert refused.value.reason == "changed"
        assert "\n" not in str(refused.value)
