"""Records from the rows of a table: CSV, TSV, JSON Lines or Parquet, with texts and the names of files."""

import csv
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any

from datamodules.sources.base import Member, Record, Source
from datamodules.sources.hugging_face import HuggingFace
from datamodules.sources.json_text import parse
from datamodules.sources.paths import inside
from mot_lightning.errors import BadMedia

FORMATS = (".csv", ".tsv", ".jsonl", ".parquet")
LONGEST = 2**27  # characters of a line or a cell


class Table(Source):
    """A CSV, TSV or JSONL file in UTF-8, or a Parquet file; the first line of a CSV or TSV file names the columns.

    Its rows are kept in memory, but for the bytes of files in a Parquet column. `HuggingFace` keeps none.

    Args:
        path: the table, or a folder that has one.
        files: columns that name files, and the folder of each, relative to the table; "." is its own. An empty cell
            is no file.
        group_by: a column: rows that agree in it are one record, and a row of which it is empty is one. Columns that
            differ within a record become lists.
    """

    def __init__(self, path: Path, files: dict[str, str] | None = None, group_by: str | None = None) -> None:
        self.path, self.files, self.group_by = Path(path), files or {}, group_by
        self.records: list[dict[str, Any]] = []

    def setup(self) -> None:
        if self.records:
            return
        table = _table_in(self.path)
        rows = list(_rows(table))
        if not rows:
            raise ValueError(f"{table} has no rows, wanted at least 1")
        folders = {column: (table.parent / folder).resolve() for column, folder in self.files.items()}
        for column in (*folders, *([self.group_by] if self.group_by else [])):
            if column not in rows[0]:
                raise ValueError(f"{table} has no column {column!r}, wanted one of {', '.join(map(str, rows[0]))}")
        records = _grouped(rows, self.group_by) if self.group_by else rows
        for number, record in enumerate(records, start=1):
            for column, folder in folders.items():
                record[column] = _files(record[column], folder, f"{table}, record {number},", self.instead)
        self.records = records

    def __len__(self) -> int:
        return len(self.records)

    def record(self, index: int) -> Record:
        return self.records[index]


def _table_in(path: Path) -> Path:
    """The table itself, or the only one in a folder."""
    if not path.is_dir():
        if not path.is_file():
            raise ValueError(f"data.source.path {path} does not exist, wanted a table or a folder with one")
        if path.suffix not in FORMATS:
            raise ValueError(f"data.source.path {path} is of type {path.suffix!r}, wanted one of {', '.join(FORMATS)}")
        return path
    tables = sorted(file for file in path.iterdir() if file.suffix in FORMATS and file.is_file())
    if len(tables) != 1:
        names = ", ".join(table.name for table in tables)
        raise ValueError(f"data.source.path {path} has {len(tables)} tables{names and f' ({names})'}, wanted 1")
    return tables[0]


def _rows(table: Path) -> Iterator[dict[str, Any]]:
    if table.suffix == ".parquet":
        rows = HuggingFace(table)
        rows.setup()
        yield from (dict(rows.record(index)) for index in range(len(rows)))
        return
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            lines = _lines(table, file)
            yield from _from_json(table, lines) if table.suffix == ".jsonl" else _from_csv(table, lines)
    except UnicodeDecodeError:
        raise ValueError(f"{table} is not UTF-8 text") from None


def _lines(table: Path, file: Any) -> Iterator[str]:
    """The lines of a file; of one that is no text, not all is read as one line."""
    for number in count(1):
        if len(line := file.readline(LONGEST + 1)) > LONGEST:
            raise ValueError(f"{table}, line {number} is longer than {LONGEST:,} characters")
        if not line:
            return
        yield line


def _from_csv(table: Path, lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    csv.field_size_limit(LONGEST)
    reader = csv.DictReader(lines, delimiter="\t" if table.suffix == ".tsv" else ",", strict=True)
    try:
        names = reader.fieldnames or []
        if len({*names}) != len(names):
            raise ValueError(f"{table} has columns {', '.join(names)}, wanted different names")
        for row in reader:
            if None in row or None in row.values():
                raise ValueError(f"{table}, line {reader.line_num}: wanted {len(names)} cells, one a column")
            yield row
    except csv.Error as error:
        raise ValueError(f"{table}, line {reader.line_num}: {error}") from None


def _from_json(table: Path, lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    first: dict[str, Any] | None = None
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = parse(line)
        except BadMedia as error:
            raise ValueError(f"{table}, line {number}: {error}") from None
        first = row if first is None else first
        if not isinstance(row, dict) or row.keys() != first.keys():
            columns = f"the columns {', '.join(first)}" if isinstance(first, dict) else "a mapping of columns"
            raise ValueError(f"{table}, line {number}: wanted {columns}")
        yield row


def _files(names: Any, folder: Path, table: str, instead: Callable[[str, BadMedia], Member]) -> Any:
    """The paths of files; `instead` says what stands for one that cannot be read."""
    if isinstance(names, list):
        return [_files(name, folder, table, instead) for name in names]
    try:
        return _file(names, folder, table)
    except BadMedia as error:
        return instead(str(names), error)


def _file(names: Any, folder: Path, table: str) -> Path | None:
    if names is None or names == "":  # the record has none
        return None
    if not isinstance(names, str):
        raise BadMedia(f"{table} names {names!r}, wanted a file in {folder}", "no file name")
    path = inside(folder, names, table)
    if not path.is_file():
        raise BadMedia(f"{table} names {names!r}, which is no file in {folder}", "missing")
    return path


def _grouped(rows: list[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    groups: dict[Any, list[Mapping[str, Any]]] = {}
    for number, row in enumerate(rows):
        if not isinstance(cell := row[key], str | int | float | None):
            raise ValueError(f"column {key!r} holds {str(cell)[:40]!r}, wanted a text or a number to group by")
        empty = cell is None or cell == ""
        # true is no number here, though it equals 1
        groups.setdefault((number, None) if empty else (isinstance(cell, bool), cell), []).append(row)
    constant = {
        column
        for column in rows[0]
        if all(row[column] == group[0][column] for group in groups.values() for row in group)
    }
    return [
        {column: group[0][column] if column in constant else [row[column] for row in group] for column in rows[0]}
        for group in groups.values()
    ]
