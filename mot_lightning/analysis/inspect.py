"""What a model will be trained on, before it is: lengths and tokens of sampled documents, and how rows are filled.

Knows segments and batches; which documents, and what they look like, is left to the caller.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

from mot_lightning.errors import ConfigError
from mot_lightning.sequence import Grammar, InterleavedBatch, Skipped


class ModalityCounts(NamedTuple):
    """What one modality has of the documents."""

    segments: int
    tokens: int  # without control tokens
    clean: int  # tokens of segments without a loss, which are shown clean


class Inspection(NamedTuple):
    """Counts over sampled documents."""

    lengths: list[int]  # tokens of each document that is not skipped, with control tokens
    by_modality: dict[str, ModalityCounts]
    control: int  # control tokens of all documents
    fill: float  # fraction of the slots of all rows that hold a token
    skipped: Sequence[Skipped] = ()
    split: int = 0  # documents that are packed in pieces
    batches: Sequence[int] = ()  # documents of each complete batch

    def table(self) -> list[list[str]]:
        """Rows to print, the first of which is the head."""
        total = sum(self.lengths)
        rows = [["modality", "segments", "tokens", "fraction", "tokens a segment", "shown clean"]]
        for name, counts in self.by_modality.items():
            mean = f"{counts.tokens / counts.segments:.1f}" if counts.segments else ""
            clean = f"{counts.clean / counts.tokens:.3f}" if counts.tokens else ""
            fraction = f"{counts.tokens / total:.3f}"
            rows.append([name, f"{counts.segments:,}", f"{counts.tokens:,}", fraction, mean, clean])
        return [*rows, ["control", "", f"{self.control:,}", f"{self.control / total:.3f}", "", ""]]

    def facts(self) -> list[tuple[str, str]]:
        """What is true of all documents, by name."""
        ordered = sorted(self.lengths)
        middle, last = ordered[len(ordered) // 2], ordered[-1]
        facts = [
            ("documents", f"{len(ordered) + len(self.skipped):,}"),
            ("tokens a document: shortest, median, longest", f"{ordered[0]:,}, {middle:,}, {last:,}"),
            ("slots filled", f"{self.fill:.3f}"),
        ]
        if len({*self.batches}) > 1:
            mean = sum(self.batches) / len(self.batches)
            fewest_to_most = f"{min(self.batches):,}, {mean:,.1f}, {max(self.batches):,}"
            facts.append(("documents a batch: fewest, mean, most", fewest_to_most))
        counts = {"documents skipped": len(self.skipped), "documents split in pieces": self.split}
        return facts + [(name, f"{count:,}") for name, count in counts.items() if count]

    def skipped_table(self) -> list[list[str]]:
        """Why documents were skipped: rows to print, the first of which is the head."""
        counts = Counter((one.source, one.modality, one.reason) for one in self.skipped)
        last = {(one.source, one.modality, one.reason): one.message for one in self.skipped}
        rows = [[*key, f"{count:,}", last[key]] for key, count in sorted(counts.items())]
        return [["source", "modality", "reason", "documents", "the last of them"], *rows]


def inspect(
    documents: Sequence[Any], grammar: Grammar, sizes: Sequence[int], collate: Callable[[Any], InterleavedBatch]
) -> Inspection:
    """Counts over documents that are packed in batches, as in training.

    Args:
        documents: of a datamodule, those that are skipped too.
        sizes: how many documents each batch has, of which the last may be incomplete.
        collate: makes a batch of documents.

    Raises:
        ConfigError: all are skipped.
    """
    slots = used = 0
    for size, end in zip(sizes, accumulate(sizes), strict=True):
        batch = collate(documents[end - size : end])
        slots += batch.layout.document.numel()
        used += len(batch.layout.slot)
    skipped: list[Skipped] = [document.skipped for document in documents if document.skipped]
    used -= len(skipped) * grammar.length([])  # they are packed as empty documents
    documents = [document for document in documents if not document.skipped]
    if not documents:
        raise ConfigError(
            f"all {len(skipped)} documents are skipped, wanted at least 1 that is not: {skipped[-1].message}"
        )
    by_modality = {}
    for name in grammar.names:
        segments = [segment for document in documents for segment in document if segment.modality == name]
        tokens = [len(segment.tokens) for segment in segments]
        clean = sum(n for n, segment in zip(tokens, segments, strict=True) if not segment.loss)
        by_modality[name] = ModalityCounts(len(segments), sum(tokens), clean)
    lengths = [grammar.length(document) for document in documents]
    control = sum(lengths) - sum(counts.tokens for counts in by_modality.values())
    split = sum(bool(document.pieces) for document in documents)
    return Inspection(lengths, by_modality, control, used / slots, skipped, split, sizes[:-1] or sizes)
