"""Records of tar shards in WebDataset's layout."""

import json

import numpy as np
import pytest
import torch
from shards import png, wav, write_shard

from datamodules import Records
from datamodules.columns import AudioColumn, ImageColumn, TextColumn
from datamodules.sources import Table, WebDataset
from datamodules.sources.shard import Shard


def records(path):
    source = WebDataset(path)
    source.setup()
    return [source.record(i) for i in range(len(source))]


def read_all(found):
    return [{name: value.read() if name == "png" else value for name, value in one.items()} for one in found]


def some(count, first=0):
    for i in range(first, first + count):
        yield f"train/{i:03}.png", png(10 * i)
        yield f"train/{i:03}.txt", f"number {i}\n".encode()
        yield f"train/{i:03}.json", json.dumps({"label": i, "more": ["a", "b"]}).encode()


def test_members_of_one_key_are_one_record_over_all_shards(tmp_path):
    write_shard(tmp_path / "1.tar", some(3, 3))
    write_shard(tmp_path / "0.tar", some(3))
    (tmp_path / "notes.txt").touch()
    found = records(tmp_path)
    assert [record["text" if "text" in record else "txt"] for record in found] == [f"number {i}" for i in range(6)]
    assert found[4]["label"] == 4
    assert found[4]["more"] == ["a", "b"]
    assert found[4]["png"].read() == png(40)
    torch.testing.assert_close(ImageColumn("png", (1, 4, 4)).decode(found[4]["png"]), torch.full((1, 4, 4), 40 / 255))


def test_sounds_are_decoded_in_memory(tmp_path):
    (record,) = records(write_shard(tmp_path / "0.tar", [("a.wav", wav(0.1))]))
    (tmp_path / "a.wav").write_bytes(wav(0.1))
    column = AudioColumn("wav", 8000)
    assert torch.equal(column.decode(record["wav"]), column.decode(tmp_path / "a.wav"))


def test_index_is_written_once_and_anew_if_the_shard_changed(tmp_path, monkeypatch):
    shard = write_shard(tmp_path / "0.tar", some(2))
    before = read_all(records(shard))
    with monkeypatch.context() as patched:
        patched.setattr(Shard, "_members", None)
        assert read_all(records(shard)) == before
    write_shard(shard, some(5))
    assert len(records(shard)) == 5


def test_index_that_cannot_be_written_is_said_and_not_needed(tmp_path, capsys):
    shard = write_shard(tmp_path / "0.tar", some(2))
    (tmp_path / "0.tar.index.jsonl").mkdir()
    assert len(records(shard)) == 2
    assert "each run indexes the shard" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [("a.txt", b"\xff", "txt is not UTF-8 text"), ("a.json", b"{", "json: not JSON"),
     ("a.json", b"[1]", "json holds a list, wanted a mapping of columns"), (".x", b"", "has empty shards")],
)  # fmt: skip
def test_bad_members_are_named(tmp_path, name, content, message):
    shard = write_shard(tmp_path / "0.tar", [(name, content)])
    with pytest.raises(ValueError, match=message) as refused:
        records(shard)
    assert str(tmp_path) in str(refused.value)


def test_other_files_and_missing_ones_are_refused(tmp_path):
    for path in (tmp_path, tmp_path / "no.tar"):
        with pytest.raises(ValueError, match=r"has no shards, wanted a .tar file or a folder of them"):
            records(path)
    (tmp_path / "a.tar").write_bytes(b"hello" * 300)
    with pytest.raises(ValueError, match=r"a.tar is not an uncompressed tar file"):
        records(tmp_path / "a.tar")


def test_the_same_files_in_a_table_and_in_shards_make_the_same_documents(tmp_path):
    files = [(f"{i}.{suffix}", content) for i in range(6) for suffix, content in (
        ("png", png(9 * i)), ("wav", wav(0.1 + i)), ("txt", f"number {i}".encode()))]  # fmt: skip
    write_shard(tmp_path / "0.tar", files)
    for name, content in files:
        (tmp_path / name).write_bytes(content)
    rows = "".join(f"{i}.png,{i}.wav,number {i}\n" for i in range(6))
    (tmp_path / "table.csv").write_text(f"png,wav,txt\n{rows}")
    media = {"text": TextColumn("txt"), "image": ImageColumn("png", (1, 4, 4)), "speech": AudioColumn("wav", 8000)}
    documents = {"text+image+speech": 1.0, "image+text": 1.0}
    tables = Table(tmp_path / "table.csv", files={"png": ".", "wav": "."}), WebDataset(tmp_path)
    first, second = (Records(source, media, documents, val=0.3) for source in tables)
    for data in (first, second):
        data.setup("fit")
    for split in ("train", "val"):
        for index in range(first.size(split)):
            composed = [
                [
                    (medium.modality, medium.media())
                    for medium in data.compose(split, index, np.random.default_rng(index))
                ]
                for data in (first, second)
            ]
            for (name, one), (same, other) in zip(*composed, strict=True):
                assert name == same
                assert one == other if isinstance(one, str) else torch.equal(one, other)
