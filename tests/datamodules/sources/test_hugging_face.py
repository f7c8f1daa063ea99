"""Records of data sets of the library `datasets`: saved by it, or in Parquet and Arrow files."""

import os

import datasets
import pyarrow as pa
import pyarrow.parquet
import pytest
import torch
from shards import png, wav

from datamodules import Records
from datamodules.columns import AudioColumn, ImageColumn, TextColumn
from datamodules.sources import HuggingFace


@pytest.fixture(autouse=True)
def _caches(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()


def some(count=6, **columns):
    """Rows with an image, a sound, a class, two captions and two more images each."""
    rows = {
        "picture": [{"bytes": png(10 * i), "path": f"{i}.png"} for i in range(count)],
        "sound": [{"bytes": wav(0.1 + i), "path": None} for i in range(count)],
        "label": [i % 2 for i in range(count)],
        "captions": [[f"{i}a", f"{i}b"] for i in range(count)],
        "more": [[{"bytes": png(i), "path": None}] * 2 for i in range(count)],
        **columns,
    }
    features = {
        "picture": datasets.Image(),
        "sound": datasets.Audio(),
        "label": datasets.ClassLabel(names=["even", "odd"]),
        "captions": datasets.Sequence(datasets.Value("string")),
        "more": datasets.Sequence(datasets.Image()),
    }
    return dataset(rows, features | {name: datasets.Value("string") for name in columns})


def dataset(rows, features):
    """A data set from encoded rows: the library itself encodes sounds by torchcodec only."""
    return datasets.Dataset(pa.table(rows, schema=datasets.Features(features).arrow_schema))


def write_arrow(table, path):
    write_batches(table, path, len(table) or 1)
    return path


def write_batches(table, path, size):
    """The end of the schema in the file, and that of each batch."""
    ends = []
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
        stream.write_table(table[:0])
        for batch in table.combine_chunks().to_batches(max_chunksize=size):
            ends.append(file.tell())
            stream.write_batch(batch)
        ends.append(file.tell())
    return ends


def opened(*arguments, **settings):
    source = HuggingFace(*arguments, **settings)
    source.setup()
    source.setup()
    return source


@pytest.mark.parametrize("form", ["saved", "arrow", "parquet", "folder"])
def test_rows_are_records_whose_files_are_decoded_by_columns(tmp_path, form):
    path = tmp_path / {"saved": "set", "arrow": "set.arrow", "parquet": "set.parquet", "folder": "folder"}[form]
    if form == "saved":
        some().save_to_disk(path)
    elif form == "arrow":
        write_arrow(some().data.table, path)
    else:
        path.mkdir() if form == "folder" else None
        some().to_parquet(path / "train.parquet" if form == "folder" else path)
    source = opened(path)
    assert len(source) == 6
    record = source.record(3)
    assert (record["label"], record["captions"]) == ("odd", ["3a", "3b"])
    image = ImageColumn("picture", (1, 4, 4)).decode(record["picture"])
    torch.testing.assert_close(image, torch.full((1, 4, 4), 30 / 255))
    assert [one.read() for one in record["more"]] == [png(3)] * 2
    (tmp_path / "a.wav").write_bytes(wav(3.1))
    column = AudioColumn("sound", 8000)
    assert torch.equal(column.decode(record["sound"]), column.decode(tmp_path / "a.wav"))


def test_nothing_is_decoded_by_the_library(tmp_path, monkeypatch):
    some().save_to_disk(tmp_path / "set")
    for kind in (datasets.Image, datasets.Audio):
        monkeypatch.setattr(kind, "decode_example", None)
    assert opened(tmp_path / "set").record(0)["picture"].read() == png(0)


def test_empty_cells_are_none_and_files_may_lie_elsewhere(tmp_path):
    (tmp_path / "a.png").write_bytes(png(7))
    pictures = [{"bytes": None, "path": str(tmp_path / name)} for name in ("a.png", "gone.png")]
    rows = {"picture": [*pictures, None], "label": [0, -1, None], "text": ["a", None, ""]}
    features = {"picture": datasets.Image(), "label": datasets.ClassLabel(names=["zero"]),
                "text": datasets.Value("string")}  # fmt: skip
    source = opened(write_arrow(dataset(rows, features).data.table, tmp_path / "set.arrow"))
    first, second, third = (source.record(i) for i in range(3))
    assert first["picture"].read() == png(7)
    assert [record["label"] for record in (first, second, third)] == ["zero", None, None]
    assert (second["text"], third["text"], third["picture"]) == (None, "", None)
    with pytest.raises(ValueError, match=r"gone.png cannot be read: No such file or directory"):
        second["picture"].read()


@pytest.mark.parametrize("name", ["pipe", "folder", "/dev/zero", "a\0b"])
def test_what_is_no_file_is_not_waited_for(tmp_path, name):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    rows = {"picture": [{"bytes": None, "path": str(tmp_path / name)}]}
    table = dataset(rows, {"picture": datasets.Image()}).data.table
    with pytest.raises(ValueError, match=r"cannot be read: (it is no file|embedded null byte)"):
        opened(write_arrow(table, tmp_path / "set.arrow")).record(0)["picture"].read()


@pytest.mark.parametrize("form", ["file", "folder", "saved"])
@pytest.mark.parametrize("batches", [0, 1, 2.5, 3])
def test_arrow_files_that_are_cut_are_refused_also_between_two_batches(tmp_path, form, batches):
    path = tmp_path / "data" / {"file": "a.arrow", "folder": "train.arrow", "saved": "data-00000-of-00001.arrow"}[form]
    some().save_to_disk(path.parent)
    for file in path.parent.iterdir() if form != "saved" else ():
        file.unlink()
    ends = write_batches(some().data.table, path, 2)
    assert len(opened(path if form == "file" else path.parent)) == 6
    end = sum(ends[int(batches) : int(batches) + 2]) // 2 if batches % 1 else ends[batches]
    path.write_bytes(path.read_bytes()[:end])
    with pytest.raises(ValueError, match=rf"{path.name} is cut short, or no Arrow file") as refused:
        opened(path if form == "file" else path.parent)
    assert "\n" not in str(refused.value)


def test_a_saved_set_that_lacks_a_file_and_columns_of_one_name_are_refused(tmp_path):
    some().save_to_disk(tmp_path / "set")
    next((tmp_path / "set").glob("*.arrow")).unlink()
    with pytest.raises(ValueError, match="No such file or directory"):
        opened(tmp_path / "set")
    twice = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["t", "t"])
    pa.parquet.write_table(twice, tmp_path / "t.parquet")
    with pytest.raises(ValueError, match="Multiple matches") as refused:
        opened(tmp_path / "t.parquet")
    assert "\n" not in str(refused.value)


def test_plain_bytes_are_files_too(tmp_path):
    pa.parquet.write_table(pa.table({"image": [png(1), png(2)]}), tmp_path / "t.parquet")
    assert opened(tmp_path / "t.parquet").record(1)["image"].read() == png(2)


def test_a_split_is_taken_or_all_with_their_names(tmp_path):
    parts = {"train": some(4), "validation": some(2), "test": some(1)}
    datasets.DatasetDict(parts).save_to_disk(tmp_path / "set")
    assert len(opened(tmp_path / "set")) == 4
    assert len(opened(tmp_path / "set", split="validation")) == 2
    source = opened(tmp_path / "set", split=None)
    splits = ["train"] * 4 + ["val"] * 2 + ["test"]
    assert [source.record(i)["split"] for i in range(7)] == [*source.values("split")] == splits
    assert source.record(5)["captions"] == ["1a", "1b"]
    data = Records(source, {"text": TextColumn("captions")}, {"text": 1.0}, split_column="split")
    data.setup("fit")
    assert [data.size(split) for split in ("train", "val", "test")] == [4, 2, 1]


def test_values_of_a_column_are_those_of_the_records(tmp_path):
    some(5, split=["train", "val", "train", "test", "train"]).save_to_disk(tmp_path / "set")
    source = opened(tmp_path / "set")
    for column in ("split", "label", "captions", "none"):
        assert [*source.values(column)] == [source.record(i).get(column) for i in range(5)]


@pytest.mark.parametrize(
    ("name", "split", "message"),
    [
        ("nowhere/such", "train", "wanted a data set on the Hub, a folder of one, or a file of .parquet or .arrow"),
        ("set", "val", "data.source.split is 'val', wanted one of train, or null for all"),
        ("empty.arrow", "train", "has no rows, wanted at least 1"),
        ("t.csv", "train", "it is of type '.csv'"),
        ("missing.parquet", "train", "there is no such file"),
        ("bad.parquet", "train", "Parquet file size is 7 bytes"),
        ("bad.arrow", "train", "data.source.path is"),
        ("code", "train", "data.source.path is"),
    ],
)
def test_what_is_no_data_set_is_refused_in_one_line(tmp_path, caplog, name, split, message):
    some(1).save_to_disk(tmp_path / "set")
    write_arrow(some(1).data.table[:0], tmp_path / "empty.arrow")
    (tmp_path / "code").mkdir()
    (tmp_path / "code/code.py").write_text("raise SystemExit('executed')")
    for file in ("t.csv", "bad.parquet", "bad.arrow"):
        (tmp_path / file).write_bytes(b"nothing")
    with pytest.raises(ValueError, match=message) as refused:
        opened(tmp_path / name if (tmp_path / name).exists() else name, split=split)
    assert "\n" not in str(refused.value)
    assert not caplog.records
