"""The documents and the media of several sources as those of one. Knows no datamodule."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import torch
from torch.utils.data import Dataset

from datamodules.documents import Document, packed
from datamodules.sampler import SampleIndex
from mot_lightning.sequence import Grammar, InterleavedBatch, Sources


class MixedDocuments(Dataset[Document]):
    """The documents of a split of all sources, one source after the other."""

    def __init__(self, parts: Mapping[str, Any], grammar: Grammar, row_length: int) -> None:
        self.names, self.parts = (*parts,), [*parts.values()]
        self.grammar, self.row_length = grammar, row_length
        self.sizes = [len(part) for part in self.parts]

    def __len__(self) -> int:
        return sum(self.sizes)

    def __getitem__(self, index: SampleIndex) -> Document:
        source, item = located(index.item, self.sizes)
        document: Document = self.parts[source][index._replace(item=item)]
        document.source = source
        return document

    def length(self, index: SampleIndex) -> int:
        source, item = located(index.item, self.sizes)
        length: int = self.parts[source].length(index._replace(item=item))
        return length

    def collate(self, documents: Sequence[Document]) -> InterleavedBatch:
        batch = packed(documents, self.grammar, self.row_length)
        of_document = torch.tensor([document.source for document in documents])
        of_packed = of_document if batch.pieces is None else of_document[batch.pieces]
        return batch._replace(sources=Sources(self.names, of_packed))


class Joined(Sequence[Any]):
    """The items of several sequences, read when they are indexed."""

    def __init__(self, parts: Sequence[Sequence[Any]]) -> None:
        self.parts, self.sizes = parts, [len(part) for part in parts]

    def __len__(self) -> int:
        return sum(self.sizes)

    def __getitem__(self, index: Any) -> Any:
        if not 0 <= index < len(self):
            raise IndexError(index)
        part, item = located(index, self.sizes)
        return self.parts[part][item]


def located(item: int, sizes: Sequence[int]) -> tuple[int, int]:
    """The part that an item is in, of parts of some sizes, and its index there."""
    ends = [*accumulate(sizes)]
    part = bisect_right(ends, item)
    return part, item - ends[part] + sizes[part]
