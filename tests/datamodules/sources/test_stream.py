"""Rows of a stream, shared among the workers of ranks; the files are real, and so is the library."""

import os
import pickle

import datasets
import pyarrow as pa
import pyarrow.parquet
import pytest

from datamodules.sources import HuggingFace
from datamodules.sources.base import Spread
from datamodules.sources.stream import Stream
from mot_lightning.errors import BadRecord

FILES, ROWS = 4, 24  # of training; 24 rows in each


@pytest.fixture(autouse=True)
def _caches(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "set").mkdir()
    for k in range(FILES):
        rows = pa.table({"text": [f"{k}-{i}" for i in range(ROWS)]})
        pa.parquet.write_table(rows, tmp_path / f"set/train-{k}.parquet")
    pa.parquet.write_table(pa.table({"text": [f"val {i}" for i in range(5)]}), tmp_path / "set/validation.parquet")
    return tmp_path / "set"


def opened(path, **settings):
    source = HuggingFace(path, streaming=True, **{"first": 8, "buffer": 6, **settings})
    source.setup()
    source.setup()
    return source


def texts(source, spread, numbers):
    return [source.streamed_record(number, spread)["text"] for number in numbers]


SPREADS = [Spread(3, 1, 1, 4), Spread(3, 2, 1, 2), Spread(3, 2, 2, 2), Spread(3, 1, 4, 2)]


@pytest.mark.parametrize("split", ["train", None])
@pytest.mark.parametrize("spread", SPREADS)
def test_an_epoch_has_each_row_once_on_all_ranks_and_workers(folder, split, spread):
    source = opened(folder, split=split)
    first = {f"0-{i}" for i in range(8)} if split else set()  # they may be validated on
    rows = {f"{k}-{i}" for k in range(FILES) for i in range(ROWS)} - first
    size = len(rows)
    epochs = [texts(source, spread, range(start, start + size)) for start in (0, size)]
    assert all(len(epoch) == size and {*epoch} == rows for epoch in epochs)
    assert epochs[0] != epochs[1]
    assert epochs[0] != sorted(epochs[0])


def test_shares_go_on_from_one_chunk_to_the_next_where_they_do_not_divide_it(folder):
    source, spread = opened(folder, first=6), Spread(3, 3, 1, 2)  # 90 rows for 3 ranks, read 16 at a time
    epoch = texts(source, spread, range(90))
    assert len({*epoch}) == 90


@pytest.mark.parametrize("split", ["train", None])
def test_a_row_is_a_function_of_its_number_and_of_who_shares(folder, split):
    source, again = opened(folder, split=split), opened(folder, split=split)
    for spread in SPREADS:
        expected = texts(source, spread, range(120))
        assert texts(again, spread, range(100, 120)) == expected[100:]  # as a resumed run
        assert texts(again, spread, range(40)) == expected[:40]  # from the start again
        assert texts(again, spread._replace(seed=4), range(120)) != expected


def test_the_first_rows_are_kept(folder):
    assert [opened(folder).record(i)["text"] for i in range(8)] == [f"0-{i}" for i in range(8)]
    source = opened(folder, split=None)
    assert [*source.values("split")] == ["train"] * 8 + ["val"] * 5
    assert source.record(9) == {"split": "val", "text": "val 1"}
    assert source.streamed_record(0, SPREADS[0])["split"] == "train"


@pytest.mark.parametrize("kind", ["parquet", "arrow", "json"])
def test_single_files_and_folders_of_other_formats_stream(tmp_path, kind):
    table = pa.table({"text": [f"{i}" for i in range(20)]})
    path = tmp_path / f"rows.{kind}"
    if kind == "arrow":
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
            stream.write_table(table)
    elif kind == "parquet":
        pa.parquet.write_table(table, path)
    else:
        path = tmp_path / "folder"
        path.mkdir()
        (path / "train.jsonl").write_text("".join(f'{{"text": "{i}"}}\n' for i in range(20)))
    source = opened(path)
    assert {*texts(source, SPREADS[0], range(12))} == {f"{i}" for i in range(8, 20)}


def test_classes_and_images_are_as_when_they_are_stored(tmp_path):
    features = datasets.Features({"label": datasets.ClassLabel(names=["no", "yes"]), "image": datasets.Image()})
    rows = {"label": [1, 0] * 6, "image": [{"bytes": bytes([i]), "path": None} for i in range(12)]}
    datasets.Dataset(pa.table(rows, schema=features.arrow_schema)).cast(features).to_parquet(tmp_path / "a.parquet")
    stored = HuggingFace(tmp_path / "a.parquet")
    stored.setup()
    source = opened(tmp_path / "a.parquet")
    assert source.record(0)["label"] == stored.record(0)["label"] == "yes"
    assert {source.streamed_record(i, SPREADS[0])["image"].read()[0] for i in range(4)} == {8, 9, 10, 11}


def test_a_process_opens_files_of_its_own(folder, monkeypatch):
    stream = opened(folder).stream
    expected = [stream.row(i, SPREADS[0]) for i in range(4)]
    reader = next(iter(stream.readers.values()))
    monkeypatch.setattr(os, "getpid", lambda: -1)
    assert stream.row(4, SPREADS[0]) != expected[3]
    assert reader not in stream.readers.values()
    copy = pickle.loads(pickle.dumps(stream))
    assert isinstance(copy, Stream)
    assert [copy.row(i, SPREADS[0]) for i in range(4)] == expected


def test_a_stream_that_breaks_or_has_too_few_rows_is_refused_in_one_line(folder):
    source = opened(folder)
    (folder / "train-3.parquet").write_bytes(b"no Parquet")
    with pytest.raises(BadRecord, match=r"data.source.path .*set cannot be read on: \w+") as refused:
        texts(source, SPREADS[0], range(200))
    assert "\n" not in str(refused.value)
    with pytest.raises(BadRecord, match="it has 0 rows to train on, wanted one at least for each of 1 processes"):
        texts(opened(folder / "validation.parquet"), SPREADS[0], [0])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"first": 0}, "data.source.first is 0, wanted at least 1"),
        ({"buffer": 0}, "data.source.buffer is 0, wanted at least 1"),
        ({"split": "valid"}, "data.source.path"),
        ({"path": "saved"}, "it is stored already, and needs no streaming"),
        ({"path": "empty.arrow"}, "has no rows, wanted at least 1"),
        ({"path": "bad.parquet"}, "data.source.path"),
    ],
)
def test_bad_streams_are_refused_in_one_line(folder, tmp_path, caplog, settings, message):
    datasets.Dataset.from_dict({"text": ["a"]}).save_to_disk(tmp_path / "saved")
    empty = pa.schema({"text": pa.string()})
    with pa.OSFile(str(tmp_path / "empty.arrow"), "wb") as file, pa.ipc.new_stream(file, empty):
        pass
    (tmp_path / "bad.parquet").write_bytes(b"nothing")
    path = tmp_path / settings.pop("path") if "path" in settings else folder
    with pytest.raises(ValueError, match=message) as refused:
        opened(path, **settings)
    assert "\n" not in str(refused.value)
    assert not caplog.records
