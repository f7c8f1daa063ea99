"""Rows of a data set that is read as it comes and not stored, in the order of the library `datasets`.

Knows rows and who reads them; what is in a row is left to `hugging_face.py`.
"""

import inspect
import os
from collections.abc import Iterator
from itertools import count
from typing import Any

from datamodules.sources.base import Spread

CHUNK = 16  # rows that are read at once


class Stream:
    """Training rows by number, without an end: each worker of each rank reads a share of its own, from its start on.

    Args:
        rows: an `IterableDataset`.
        first: rows at its start that are left out.
        buffer: rows among which the library shuffles.
    """

    def __init__(self, rows: Any, first: int, buffer: int) -> None:
        self.rows, self.first, self.buffer = rows.with_format("arrow"), first, buffer
        self.readers: dict[tuple[int, Spread], _Reader] = {}  # by share
        self.process = os.getpid()

    def __reduce__(self) -> tuple[Any, ...]:  # open files stay where they are
        return type(self), (self.rows, self.first, self.buffer)

    def row(self, number: int, spread: Spread) -> Any:
        """A table of one row; a number that is below the last of its share is read from the share's start again."""
        if self.process != os.getpid():  # a worker: processes that share an open file would move each other's place
            self._of_parent = self.readers  # what has threads in the parent may not be closed here
            self.readers, self.process = {}, os.getpid()
        of_rank, rank = divmod(number, spread.ranks)
        batch, row = divmod(of_rank, spread.batch_size)
        turn, worker = divmod(batch, spread.workers)  # as a DataLoader deals batches
        share = rank * spread.workers + worker
        position = turn * spread.batch_size + row
        reader = self.readers.get((share, spread))
        if reader is None or position < reader.start:
            reader = self.readers[share, spread] = _Reader(self._tables(share, spread))
        return reader.row(position)

    def _tables(self, share: int, spread: Spread) -> Iterator[Any]:
        """The rows of a share in one epoch after the other."""
        from datasets.distributed import split_dataset_by_node

        shares = spread.ranks * spread.workers
        rows = self.rows.skip(self.first) if self.first else self.rows
        rows = rows.shuffle(spread.seed, buffer_size=self.buffer, **_one_file(rows))
        if not self.first:
            rows = split_dataset_by_node(rows, share, shares)  # by files, if each then has as many
        for epoch in count():
            rows.set_epoch(epoch)
            before = 0  # rows of the epoch
            for table in rows.iter(CHUNK):  # unlike iter(rows), it does not share the rows among workers once more
                # of a share by files, the library would leave out others than the first rows
                yield table.take([*range((share - before) % shares, len(table), shares)]) if self.first else table
                before += len(table)
            if before <= (share if self.first else 0):
                raise ValueError(
                    f"it has {before} rows to train on, wanted one at least for each of {shares} processes"
                )


def _one_file(rows: Any) -> dict[str, int]:
    """Arguments by which one file is read at a time: several are by threads, which take 5 s to end in each epoch."""
    known = "max_buffer_input_shards" in inspect.signature(rows.shuffle).parameters  # from 5 on
    return {"max_buffer_input_shards": 1} if known else {}


class _Reader:
    """Where a share is read."""

    def __init__(self, tables: Iterator[Any]) -> None:
        self.tables, self.table, self.start = tables, next(tables), 0

    def row(self, position: int) -> Any:
        while position >= self.start + len(self.table):
            self.start += len(self.table)
            self.table = next(self.tables)
        return self.table.slice(position - self.start, 1)
