"""Records from any data set of the library `datasets`, mapped or streamed: nothing is decoded here, no code is run.

Images and sounds stay encoded, so that columns decode them as they do files.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any

from lightning.pytorch.utilities import rank_zero_only

from datamodules.sources.base import Member, Record, Source, Spread
from datamodules.sources.stream import CHUNK, Stream
from mot_lightning.errors import BadRecord, require, say

SPLIT_NAMES = {"validation": "val", "valid": "val", "dev": "val"}
FILES = (".parquet", ".arrow")
RESUMING = "resuming reads up to where it was, and is exact only with the same files, ranks, workers and batch size"


class HuggingFace(Source):
    """The rows of a data set. Class labels become their names, images and sounds files to decode.

    What is not in Arrow files yet is written to the library's cache once, and then mapped into memory.

    If it streams, nothing is stored. Training reads the rows in the order of the library, which shuffles files and
    within a buffer; each worker of each rank reads a share. That order depends on the numbers of ranks and workers and
    on the batch size, and resuming reads up to where it was: with other numbers, some rows come twice or not at all.

    Args:
        path: a name on the Hub, such as "ylecun/mnist"; a folder of `save_to_disk`; a Parquet or Arrow file, or a
            folder of them.
        name: of a configuration of the data set.
        split: null takes all splits, and gives the column `split`: train, val or test.
        streaming: whether rows are read as they come.
        first: rows of each split of a stream that are kept in memory: of these, codecs learn, and `val` and `test`
            are fractions. Of a `split`, training reads those after them.
        buffer: rows of a stream that are shuffled at a time, in each process.
    """

    def __init__(
        self,
        path: str | Path,
        name: str | None = None,
        split: str | None = "train",
        streaming: bool = False,
        first: int = 1000,
        buffer: int = 1000,
    ) -> None:
        require("data.source.first", first, "at least 1", first >= 1)
        require("data.source.buffer", buffer, "at least 1", buffer >= 1)
        self.path, self.name, self.split = path, name, split
        self.streamed, self.first, self.buffer = streaming, first, buffer
        self.stream: Stream | None = None
        self.parts: list[tuple[str, Any]] = []  # split and rows
        self.ends: list[int] = []  # records up to the end of each part

    def setup(self) -> None:
        if self.parts:
            return
        loaded = load(self.path, self.name, self.split, self.streamed)
        if self.streamed:
            train = self.split or "train"
            if train not in loaded:
                raise ValueError(f"data.source.path {self.path} has the splits {', '.join(loaded)}, wanted train too")
            self.stream = Stream(loaded[train], self.first if self.split else 0, self.buffer)
            loaded = {split: first_rows(rows, self.first, str(self.path)) for split, rows in loaded.items()}
            rank_zero_only(say)(f"data.source streams: {RESUMING}")
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
        return self._record(row, rows.features, split, f"{self.path}, record {index}")

    def streamed_record(self, number: int, spread: Spread) -> Record:
        """As `Source.streamed_record`; raises BadRecord if the stream breaks."""
        assert self.stream is not None
        try:
            with _silence():
                row = self.stream.row(number, spread)
        except Exception as error:  # of the library, the network or a file, of many types
            raise BadRecord(f"data.source.path {self.path} cannot be read on: {reason(error)}") from None
        return self._record(row, self.parts[0][1].features, "train", f"{self.path}, record {number} of the stream")

    def _record(self, row: Any, features: Mapping[str, Any], split: str, where: str) -> Record:
        names = {} if self.split else {"split": split}
        return names | {
            name: value_of(row.column(name)[0], feature, f"{where}, {name}") for name, feature in features.items()
        }

    def values(self, column: str) -> Iterable[Any]:
        for split, rows in self.parts:
            if column == "split" and column not in rows.features:
                yield from [split] * len(rows)
            elif column in rows.features:
                yield from _column(rows, column, str(self.path))
            else:
                yield from [None] * len(rows)


def load(path: str | Path, name: str | None, split: str | None, streaming: bool = False) -> dict[str, Any]:
    """The rows of each split, or of one.

    Raises:
        ValueError: there is no such data set, or it needs code of its own.
    """
    import datasets  # takes a second

    file = Path(path)
    try:
        with _silence():
            _check_ends([file] if file.is_file() else file.rglob("*.arrow"))
            loaded = _load(file, str(path), name, split, streaming)
    except Exception as error:  # the library and those it stands on raise errors of many types
        expected = f"a data set on the Hub, a folder of one, or a file of {' or '.join(FILES)}"
        raise ValueError(f"data.source.path is {str(path)!r}, wanted {expected}: {reason(error)}") from None
    if isinstance(loaded, datasets.Dataset | datasets.IterableDataset):  # it may not say which split it is
        loaded = {str(loaded.split or "train"): loaded}
    if split is not None and split not in loaded:
        raise ValueError(f"data.source.split is {split!r}, wanted one of {', '.join(loaded)}, or null for all")
    return {split: loaded[split]} if split is not None else dict(loaded)


def _load(file: Path, path: str, name: str | None, split: str | None, streaming: bool) -> Any:
    import datasets

    if any((file / beside).is_file() for beside in ("state.json", "dataset_dict.json")):
        if streaming:
            raise ValueError("it is stored already, and needs no streaming")
        return datasets.load_from_disk(str(file))
    if file.is_file() and file.suffix == ".arrow":
        return (datasets.IterableDataset if streaming else datasets.Dataset).from_file(str(file))
    if file.is_file() and file.suffix == ".parquet":
        return datasets.load_dataset("parquet", data_files=str(file), streaming=streaming)
    if file.is_file():
        raise ValueError(f"it is of type {file.suffix!r}")
    if (file.suffix in FILES or file.is_absolute()) and not file.exists():  # the library would ask the Hub for it, long
        raise ValueError("there is no such file")
    loaded = datasets.load_dataset(path, name, split=split, streaming=streaming)
    return {split: loaded} if split else loaded


@contextmanager
def _silence() -> Iterator[None]:
    """The library logs nothing: what it says of a bad file is raised too."""
    import datasets

    verbosity = datasets.logging.get_verbosity()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)
    try:
        yield
    finally:
        datasets.logging.set_verbosity(verbosity)


def first_rows(rows: Any, count: int, path: str) -> Any:
    """The first rows of a stream, stored in memory. Raises ValueError if they cannot be read."""
    import datasets
    import pyarrow as pa

    try:
        with _silence():
            tables = [*rows.with_format("arrow").take(count).iter(CHUNK)]
    except Exception as error:  # as of `load`
        raise ValueError(f"data.source.path {path} cannot be read: {reason(error)}") from None
    return (
        datasets.Dataset(pa.concat_tables(tables), info=rows.info.copy()) if tables else datasets.Dataset.from_dict({})
    )


def reason(error: Exception) -> str:
    """The first line of an error of the library, which may be raised from another."""
    lines = str(error.__cause__ or error).strip().splitlines() or [type(error).__name__]
    return lines[0][:200]


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
