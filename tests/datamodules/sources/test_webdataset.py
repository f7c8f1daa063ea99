"""Records of tar shards in WebDataset's layout."""

import io
import json
import pickle
import tarfile

import numpy as np
import PIL.Image
import pytest
import soundfile
import torch

from datamodules import Records
from datamodules.columns import AudioColumn, ImageColumn, TextColumn
from datamodules.sources import Table, WebDataset


def png(level):
    file = io.BytesIO()
    PIL.Image.new("L", (4, 4), level).save(file, "png")
    return file.getvalue()


def wav(step):
    file = io.BytesIO()
    soundfile.write(file, np.sin(np.arange(2000) * step), 8000, format="WAV")
    return file.getvalue()


def write(path, members):
    """A tar file of (name, content) pairs; a content that is a TarInfo is added as it is."""
    with tarfile.open(path, "w") as archive:
        for name, content in members:
            if isinstance(content, tarfile.TarInfo):
                archive.addfile(content)
            else:
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return path


def records(path):
    source = WebDataset(path)
    source.setup()
    return [source.record(i) for i in range(len(source))]


def some(count, first=0):
    for i in range(first, first + count):
        yield f"train/{i:03}.png", png(10 * i)
        yield f"train/{i:03}.txt", f"number {i}\n".encode()
        yield f"train/{i:03}.json", json.dumps({"label": i, "more": ["a", "b"]}).encode()


def test_members_of_one_key_are_one_record_over_all_shards(tmp_path):
    write(tmp_path / "1.tar", some(3, 3))
    write(tmp_path / "0.tar", some(3))
    (tmp_path / "notes.txt").touch()
    found = records(tmp_path)
    assert [record["text" if "text" in record else "txt"] for record in found] == [f"number {i}" for i in range(6)]
    assert found[4]["label"] == 4
    assert found[4]["more"] == ["a", "b"]
    assert found[4]["png"].read() == png(40)
    torch.testing.assert_close(ImageColumn("png", (1, 4, 4)).decode(found[4]["png"]), torch.full((1, 4, 4), 40 / 255))


def test_sounds_are_decoded_in_memory(tmp_path):
    (record,) = records(write(tmp_path / "0.tar", [("a.wav", wav(0.1))]))
    (tmp_path / "a.wav").write_bytes(wav(0.1))
    column = AudioColumn("wav", 8000)
    assert torch.equal(column.decode(record["wav"]), column.decode(tmp_path / "a.wav"))


def test_index_is_written_once_and_anew_if_the_shard_changed_or_it_is_damaged(tmp_path):
    shard = write(tmp_path / "0.tar", some(2))
    index = tmp_path / "0.tar.index.json"
    before = records(shard)
    written = index.read_text()
    shard_of_index = json.loads(written)
    shard_of_index["members"] = shard_of_index["members"][:3]
    index.write_text(json.dumps(shard_of_index))
    assert len(records(shard)) == 1  # it is read
    index.write_text(written[:40])
    assert len(records(shard)) == len(before) == 2
    assert index.read_text() == written
    write(shard, some(5))
    assert len(records(shard)) == 5


def test_index_that_cannot_be_written_is_said_and_not_needed(tmp_path, capsys):
    shard = write(tmp_path / "0.tar", some(2))
    (tmp_path / "0.tar.index.json").mkdir()
    assert len(records(shard)) == 2
    assert "each run indexes the shard" in capsys.readouterr().out


def test_links_devices_and_hidden_files_are_left_out_and_nothing_is_extracted_or_unpickled(tmp_path):
    class Attack:
        def __reduce__(self):
            return (print, ("executed",))

    link, device = tarfile.TarInfo("x.png"), tarfile.TarInfo("y.png")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    device.type = tarfile.CHRTYPE
    members = [
        ("x", link), ("y", device), (".hidden", b"1"), ("../../up.txt", b"a text"), ("/root.txt", b"b"), ("none", b""),
        ("z.pkl", pickle.dumps(Attack())),
    ]  # fmt: skip
    before = {*tmp_path.parent.iterdir()}
    up, root, pickled = records(write(tmp_path / "0.tar", members))
    assert (up, root) == ({"txt": "a text"}, {"txt": "b"})
    with pytest.raises(ValueError, match="not a readable image"):
        ImageColumn("pkl").decode(pickled["pkl"])
    assert {*tmp_path.parent.iterdir()} == before


@pytest.mark.parametrize("kept", [7168, 7100, 7000, 4000, 300])  # two members of 3,584 bytes each
def test_shards_that_are_cut_short_are_refused(tmp_path, kept):
    shard = write(tmp_path / "0.tar", [("a.txt", b"x" * 3000), ("b.txt", b"y" * 3000)])
    shard.write_bytes(shard.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"0.tar is (cut short|not an uncompressed tar)") as refused:
        records(shard)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [("a.txt", b"\xff", "txt is not UTF-8 text"), ("a.json", b"{", "json is not JSON"),
     ("a.json", b"[1]", "json holds a list, wanted a mapping of columns"), (".x", b"", "has empty shards")],
)  # fmt: skip
def test_bad_members_are_named(tmp_path, name, content, message):
    shard = write(tmp_path / "0.tar", [(name, content)])
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


def test_shard_that_changes_while_it_is_read_is_named(tmp_path):
    shard = write(tmp_path / "0.tar", some(2))
    found = records(shard)
    shard.write_bytes(shard.read_bytes()[:700])
    with pytest.raises(ValueError, match=r"0.tar is cut short since it was indexed"):
        found[1]["png"].read()
    shard.unlink()
    with pytest.raises(ValueError, match=r"0.tar cannot be read: No such file or directory"):
        found[1]["png"].read()


def test_the_same_files_in_a_table_and_in_shards_make_the_same_documents(tmp_path):
    files = [(f"{i}.{suffix}", content) for i in range(6) for suffix, content in (
        ("png", png(9 * i)), ("wav", wav(0.1 + i)), ("txt", f"number {i}".encode()))]  # fmt: skip
    write(tmp_path / "0.tar", files)
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
