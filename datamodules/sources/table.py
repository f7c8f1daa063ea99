"""Records from the rows of a table: CSV, TSV, JSON Lines or Parquet, with texts and the names of files."""

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from datamodules.sources.base import Record, Source, inside, unreadable
from datamodules.sources.hugging_face import HuggingFace
from mot_lightning.errors import BadMedia

FORMATS = (".csv", ".tsv", ".jsonl", ".parquet")
LONGEST = 2**27  # characters of a cell


class Table(Source):
    """A CSV, TSV or JSONL file in UTF-8, or a Parquet file; the first line of a CSV or TSV file names the columns.

    Its rows are kept in memory, but for the bytes of files in a Parquet column. `HuggingFace` keeps none.

    Args:
        path: the table, or a folder that has one.
        files: columns that name files, and the folder of each, relative to the table; "." is its own. An empty cell
            is no file.
        group_by: a column: rows that agree in it are one record. Columns that differ within a record become lists.
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
        for number, row in enumerate(rows, start=1):
            for column, folder in folders.items():
                row[column] = _files(row[column], folder, f"{table}, record {number},", self.skips_bad)
        self.records = _grouped(rows, self.group_by) if self.group_by else rows

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
            yield from _from_json(table, file) if table.suffix == ".jsonl" else _from_csv(table, file)
    except UnicodeDecodeError:
        raise ValueError(f"{table} is not UTF-8 text") from None


def _from_csv(table: Path, file: Any) -> Iterator[dict[str, Any]]:
    csv.field_size_limit(LONGEST)
    reader = csv.DictReader(file, delimiter="\t" if table.suffix == ".tsv" else ",", strict=True)
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


def _from_json(table: Path, file: Any) -> Iterator[dict[str, Any]]:
    first: dict[str, Any] | None = None
    for number, line in enumerate(file, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            raise ValueError(f"{table}, line {number}: not JSON") from None
        first = row if first is None else first
        if not isinstance(row, dict) or row.keys() != first.keys():
            columns = f"the columns {', '.join(first)}" if isinstance(first, dict) else "a mapping of columns"
            raise ValueError(f"{table}, line {number}: wanted {columns}")
        yield row


def _files(names: Any, folder: Path, table: str, skips_bad: bool) -> Any:
    """The paths of files; in place of one that cannot be read, what raises when it is read if bad ones are skipped."""
    if isinstance(names, list):
        return [_files(name, folder, table, skips_bad) for name in names]
    try:
        return _file(names, folder, table)
    except BadMedia as error:
        if not skips_bad:
            raise
        return unreadable(str(names), error.reason, str(error))


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
    for row in rows:
        if not isinstance(row[key], str | int | float | Path | None):
            raise ValueError(f"column {key!r} holds {str(row[key])[:40]!r}, wanted a text or a number to group by")
        groups.setdefault(row[key], []).append(row)
    constant = {
        column
        for column in rows[0]
        if all(row[column] == group[0][column] for group in groups.values() for row in group)
    }
    return [
        {column: group[0][column] if column in constant else [row[column] for row in group] for column in rows[0]}
        for group in groups.values()
    ]
