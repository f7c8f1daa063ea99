"""Records of CSV, TSV and JSON Lines files."""

import json
import tracemalloc

import datasets
import pyarrow as pa
import pyarrow.parquet
import pytest

import datamodules.sources.table
from datamodules.sources import Table

ROWS = [
    {"picture": "a.png", "caption": "an a", "number": "1"},
    {"picture": "b.png", "caption": 'the "b", 七\nin two lines', "number": "2"},
]


def write(path, rows=ROWS):
    if path.suffix == ".parquet":
        pa.parquet.write_table(pa.Table.from_pylist(rows), path)
        return path
    if path.suffix == ".jsonl":
        content = "".join(json.dumps(row) + "\n" for row in rows)
    else:
        separator = {".csv": ",", ".tsv": "\t"}[path.suffix]
        cells = [[*rows[0]], *([*row.values()] for row in rows)]
        quoted = [['"' + cell.replace('"', '""') + '"' for cell in line] for line in cells]
        content = "".join(separator.join(line) + "\r\n" for line in quoted)
    path.write_text("\ufeff" + content if path.suffix == ".csv" else content, encoding="utf-8", newline="")
    return path


def records(*arguments, **settings):
    table = Table(*arguments, **settings)
    table.setup()
    table.setup()
    return [table.record(i) for i in range(len(table))]


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))
    datasets.disable_progress_bars()


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.jsonl", "t.parquet"])
@pytest.mark.parametrize("in_folder", [False, True])
def test_each_row_is_a_record(tmp_path, name, in_folder):
    path = write(tmp_path / name)
    assert records(tmp_path if in_folder else path) == ROWS


def test_a_parquet_table_has_files_and_groups_as_others_do(tmp_path):
    (tmp_path / "a.png").touch()
    rows = [{"file": "a.png", "caption": "one", "raw": b"1"}, {"file": "a.png", "caption": "two", "raw": b"2"}]
    (record,) = records(write(tmp_path / "t.parquet", rows), files={"file": "."}, group_by="file")
    assert (record["file"], record["caption"]) == (tmp_path / "a.png", ["one", "two"])
    assert [member.read() for member in record["raw"]] == [b"1", b"2"]


def test_files_lie_beside_the_table_or_in_a_folder_of_their_own(tmp_path):
    path = write(tmp_path / "t.csv")
    for folder in ("", "images", "x"):
        (tmp_path / folder).mkdir(exist_ok=True)
        for name in ("a.png", "b.png"):
            (tmp_path / folder / name).touch()
    assert records(path, files={"picture": "."})[0]["picture"] == tmp_path / "a.png"
    assert records(path, files={"picture": "images"})[1]["picture"] == tmp_path / "images/b.png"
    lists = write(tmp_path / "t.jsonl", [{"pictures": ["a.png", "b.png"]}])
    assert records(lists, files={"pictures": "x"}) == [{"pictures": [tmp_path / "x/a.png", tmp_path / "x/b.png"]}]


def test_an_empty_cell_is_no_file_and_an_absent_file_is_named(tmp_path):
    path = write(tmp_path / "t.jsonl", [{"file": None}, {"file": ""}])
    assert records(path, files={"file": "."}) == [{"file": None}, {"file": None}]
    write(path, [{"file": ""}, {"file": "gone.png"}])
    with pytest.raises(ValueError, match=r"t.jsonl, record 2, names 'gone.png', which is no file in"):
        records(path, files={"file": "."})


def test_a_cell_may_be_long_and_a_column_may_differ_in_the_second_group_alone(tmp_path):
    rows = [{"id": i, "a": a} for i, a in (("1", "x" * 200_000), ("2", "y"), ("2", "z"))]
    assert records(write(tmp_path / "t.csv", rows), group_by="id") == [
        {"id": "1", "a": ["x" * 200_000]},
        {"id": "2", "a": ["y", "z"]},
    ]


def test_rows_of_a_group_are_one_record(tmp_path):
    rows = [{"id": i, "caption": c, "sound": s} for i, c, s in (("1", "a", "x"), ("2", "b", "y"), ("1", "c", "x"))]
    assert records(write(tmp_path / "t.csv", rows), group_by="id") == [
        {"id": "1", "caption": ["a", "c"], "sound": "x"},
        {"id": "2", "caption": ["b"], "sound": "y"},
    ]


def test_rows_without_an_id_are_records_of_their_own_and_true_is_no_number(tmp_path):
    rows = [{"id": i, "a": a} for i, a in ((1, "p"), (None, "q"), (True, "r"), ("", "s"), (1, "t"), (None, "u"))]
    assert [record["a"] for record in records(write(tmp_path / "t.jsonl", rows), group_by="id")] == [
        ["p", "t"], ["q"], ["r"], ["s"], ["u"],
    ]  # fmt: skip


def test_a_bad_file_leaves_the_other_groups_as_they_are(tmp_path):
    (tmp_path / "a.png").touch()
    rows = [{"file": file, "text": text} for file in ("a.png", "gone.png", "../b.png") for text in "pq"]
    table = Table(write(tmp_path / "t.jsonl", rows), files={"file": "."}, group_by="file")
    table.skips_bad = True
    table.setup()
    good, *bad = (table.record(i) for i in range(3))
    assert good == {"file": tmp_path / "a.png", "text": ["p", "q"]}
    for record, message in zip(
        bad, ("record 2, names 'gone.png', which is no", "record 3, names '../b.png'"), strict=True
    ):
        assert record["text"] == ["p", "q"]
        with pytest.raises(ValueError, match=message):
            record["file"].read()


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl", "t.parquet"])
def test_rows_that_occur_twice_are_two_records(tmp_path, name):
    assert records(write(tmp_path / name, [ROWS[0], ROWS[0]])) == [ROWS[0], ROWS[0]]


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.jsonl"])
def test_a_line_of_10_mb_is_read_and_one_that_is_too_long_is_not(tmp_path, name, monkeypatch):
    rows = [{"a": "x", "b": "y"}, {"a": "1234567 é" * 10**6, "b": "z"}]
    path = write(tmp_path / name, rows)
    tracemalloc.start()
    assert records(path) == rows
    # the text, its line, and what it is cut from, at 2 bytes a character
    assert tracemalloc.get_traced_memory()[1] < 15 * 10**7
    monkeypatch.setattr(datamodules.sources.table, "LONGEST", 10**6)
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    with pytest.raises(ValueError, match=rf"{name}, line \d is longer than 1,000,000 characters"):
        records(path)
    assert tracemalloc.get_traced_memory()[1] - before < 10**7
    tracemalloc.stop()


@pytest.mark.parametrize("name", ["../a.png", "/etc/passwd", "x/../../a", "link", "circle", "a\0b"])
def test_files_outside_the_folder_are_refused(tmp_path, name):
    folder = tmp_path / "data"
    folder.mkdir()
    (tmp_path / "secret").write_text("")
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "circle").symlink_to(folder / "circle")
    path = write(folder / "t.jsonl", [{"file": name}])
    with pytest.raises(ValueError, match="wanted a file in") as refused:
        records(path, files={"file": "."})
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "content", "settings", "message"),
    [
        ("t.csv", b"a,b\n1\n", {}, "line 2: wanted 2 cells, one a column"),
        ("t.csv", b"a,b\n1,2,3\n", {}, "line 2: wanted 2 cells, one a column"),
        ("t.csv", b"a,a\n1,2\n", {}, "has columns a, a, wanted different names"),
        ("t.csv", b'a\n"1\n', {}, "unexpected end of data"),
        ("t.csv", b"a\n", {}, "has no rows"),
        ("t.csv", b"", {}, "has no rows"),
        ("t.csv", b"a\n\xff\n", {}, "is not UTF-8 text"),
        ("t.csv", b"a\n1\n", {"files": {"b": "."}}, "has no column 'b', wanted one of a"),
        ("t.csv", b"a\n1\n", {"group_by": "b"}, "has no column 'b', wanted one of a"),
        ("t.jsonl", b"{\n", {}, "line 1: not JSON"),
        ("t.jsonl", b'{"a": 1, "a": 2}\n', {}, "line 1: the key 'a' is there twice, wanted once"),
        ("t.jsonl", b'{"b": [{"a": 1, "a": 1}]}\n', {}, "line 1: the key 'a' is there twice, wanted once"),
        ("t.jsonl", b"[" * 10**5, {}, "line 1: not JSON"),
        ("t.jsonl", b"[1]\n", {}, "line 1: wanted a mapping of columns"),
        ("t.jsonl", b'{"a": 1}\n\n{"b": 1}\n', {}, "line 3: wanted the columns a"),
        ("t.jsonl", b'{"a": 1}\n', {"files": {"a": "."}}, "names 1, wanted a file in"),
        ("t.jsonl", b'{"a": [1]}\n', {"group_by": "a"}, r"column 'a' holds '\[1\]', wanted a text or a number"),
        ("t.jsonl", b'{"a": ' + b"9" * 5000 + b"}", {}, "line 1: not JSON"),
        ("t.xlsx", b"", {}, "is of type '.xlsx', wanted one of .csv, .tsv, .jsonl, .parquet"),
    ],
)
def test_bad_tables_are_refused_in_one_line(tmp_path, name, content, settings, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message) as refused:
        records(tmp_path / name, **settings)
    assert str(tmp_path) in str(refused.value) or "column 'a'" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("kept", [0.01, 0.5, 0.99])
def test_a_parquet_table_that_is_cut_is_refused(tmp_path, kept):
    content = write(tmp_path / "t.parquet", [{"a": f"{i}" * 50} for i in range(1000)]).read_bytes()
    (tmp_path / "t.parquet").write_bytes(content[: int(kept * len(content))])
    with pytest.raises(ValueError, match=r"t.parquet") as refused:
        records(tmp_path / "t.parquet")
    assert "\n" not in str(refused.value)


def test_a_missing_table_and_a_folder_without_one_or_with_two_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"no.csv does not exist, wanted a table"):
        records(tmp_path / "no.csv")
    with pytest.raises(ValueError, match="has 0 tables, wanted 1"):
        records(tmp_path)
    write(tmp_path / "a.csv"), write(tmp_path / "b.tsv")
    with pytest.raises(ValueError, match=r"has 2 tables \(a.csv, b.tsv\), wanted 1"):
        records(tmp_path)
