"""Records from any data set of the library `datasets`, memory-mapped: nothing is decoded here, and no code is run.

Images and sounds stay encoded, so that columns decode them as they do files.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any

from datamodules.sources.base import Member, Record, Source

SPLIT_NAMES = {"validation": "val", "valid": "val", "dev": "val"}
FILES = (".parquet", ".arrow")


class HuggingFace(Source):
    """The rows of a data set. Class labels become their names, images and sounds files to decode.

    What is not in Arrow files yet is written to the library's cache once, and then mapped into memory.

    Args:
        path: a name on the Hub, such as "ylecun/mnist"; a folder of `save_to_disk`; a Parquet or Arrow file, or a
            folder of them.
        name: of a configuration of the data set.
        split: null takes all splits, and gives the column `split`: train, val or test.
    """

    def __init__(self, path: str | Path, name: str | None = None, split: str | None = "train") -> None:
        self.path, self.name, self.split = path, name, split
        self.parts: list[tuple[str, Any]] = []  # split and rows
        self.ends: list[int] = []  # records up to the end of each part

    def setup(self) -> None:
        if self.parts:
            return
        loaded = load(self.path, self.name, self.split)
        if not sum(map(len, loaded.values())):
            raise ValueError(f"data.source.path {self.path} has no rows, wanted at least 1")
        # rows in Arrow's own types: none is decoded, by whatever means the library would
        self.parts = [(SPLIT_NAMES.get(split, split), rows.with_format("arrow")) for split, rows in loaded.items()]
        self.ends = list(accumulate(len(rows) for _, rows in self.parts))

    def __len__(self) -> int:
        return self.ends[-1] if self.ends else 0

    def record(self, index: int) -> Record:
        number = bisect_right(self.ends, index)
        split, rows = self.parts[number]
        row = rows[index - self.ends[number] + len(rows)]
        names = {} if self.split else {"split": split}
        where = f"{self.path}, record {index}"
        return names | {
            name: value_of(row.column(name)[0], feature, f"{where}, {name}") for name, feature in rows.features.items()
        }

    def values(self, column: str) -> Iterable[Any]:
        for split, rows in self.parts:
            if column == "split" and column not in rows.features:
                yield from [split] * len(rows)
            elif column in rows.features:
                yield from _column(rows, column, str(self.path))
            else:
                yield from [None] * len(rows)


def load(path: str | Path, name: str | None, split: str | None) -> dict[str, Any]:
    """The rows of each split, or of one.

    Raises:
        ValueError: there is no such data set, or it needs code of its own.
    """
    import datasets  # takes a second

    file, verbosity = Path(path), datasets.logging.get_verbosity()
    try:
        datasets.logging.set_verbosity(datasets.logging.CRITICAL)  # what it logs of a bad file is raised too
        _check_ends([file] if file.is_file() else file.rglob("*.arrow"))
        if any((file / beside).is_file() for beside in ("state.json", "dataset_dict.json")):
            loaded: Any = datasets.load_from_disk(str(file))
        elif file.is_file() and file.suffix == ".arrow":
            loaded = datasets.Dataset.from_file(str(file))
        elif file.is_file() and file.suffix == ".parquet":
            loaded = datasets.load_dataset("parquet", data_files=str(file))
        elif file.is_file():
            raise ValueError(f"it is of type {file.suffix!r}")
        else:
            loaded = datasets.load_dataset(str(path), name, split=split)
            loaded = {split: loaded} if split else loaded
    except Exception as error:  # the library and those it stands on raise errors of many types
        reason = str(error.__cause__ or error).strip().splitlines() or [type(error).__name__]
        expected = f"a data set on the Hub, a folder of one, or a file of {' or '.join(FILES)}"
        raise ValueError(f"data.source.path is {str(path)!r}, wanted {expected}: {reason[0][:200]}") from None
    finally:
        datasets.logging.set_verbosity(verbosity)
    if isinstance(loaded, datasets.Dataset):  # it may not say which split it is
        loaded = {str(loaded.split or "train"): loaded}
    if split is not None and split not in loaded:
        raise ValueError(f"data.source.split is {split!r}, wanted one of {', '.join(loaded)}, or null for all")
    return {split: loaded[split]} if split is not None else dict(loaded)


def _check_ends(files: Iterable[Path]) -> None:
    """Raises ValueError if an Arrow file has no end: one that is cut between two batches would just be shorter."""
    for path in files:
        if path.suffix == ".arrow" and path.is_file():
            with path.open("rb") as file:
                file.seek(-min(8, path.stat().st_size), 2)
                if not file.read().endswith((b"\xff\xff\xff\xff\0\0\0\0", b"ARROW1")):
                    raise ValueError(f"{path} is cut short, or no Arrow file")


def value_of(scalar: Any, feature: Any, name: str) -> Any:
    """A cell of a record: text, number, class name, a file to decode, or a list of them; None if it is empty.

    Args:
        scalar: of Arrow; the bytes of a file are copied only to read it.
        feature: of `datasets`, which knows the names of classes.
        name: of the cell, in messages.
    """
    import pyarrow as pa

    if not scalar.is_valid:
        return None
    kind = scalar.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        of_items = getattr(feature, "feature", feature[0] if isinstance(feature, list) else None)
        return [value_of(item, of_items, f"{name}[{k}]") for k, item in enumerate(scalar.values)]
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return Member(name, scalar.as_py)
    if pa.types.is_struct(kind) and {field.name for field in kind} == {"bytes", "path"}:
        if scalar["bytes"].is_valid:
            return Member(name, scalar["bytes"].as_py)
        path = scalar["path"].as_py()
        return Member(f"{name} {path}", partial(_read, path)) if path else None
    if hasattr(feature, "int2str"):
        label = scalar.as_py()
        return feature.int2str(label) if label >= 0 else None  # a test split may hide its labels as -1
    return scalar.as_py()


def _column(rows: Any, column: str, where: str) -> Iterator[Any]:
    feature = rows.features[column]
    for cells in rows.select_columns([column]).iter(batch_size=10_000):
        for scalar in cells.column(0):
            yield value_of(scalar, feature, f"{where}, {column}")


def _read(path: str) -> bytes:
    try:
        if Path(path).exists() and not Path(path).is_file():  # reading a device or a pipe may never end
            raise ValueError("it is no file")
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
