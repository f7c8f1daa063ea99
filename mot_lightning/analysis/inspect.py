"""What a model will be trained on, before it is: lengths and tokens of sampled documents, and how rows are filled.

Knows segments and batches; which documents, and what they look like, is left to the caller.
"""

from collections.abc import Sequence
from typing import NamedTuple

from mot_lightning.sequence import Grammar, Segment, pack


class ModalityCounts(NamedTuple):
    """What one modality has of the documents."""

    segments: int
    tokens: int  # without control tokens
    clean: int  # tokens of segments without a loss, which are shown clean


class Inspection(NamedTuple):
    """Counts over sampled documents."""

    lengths: list[int]  # tokens of each document, with control tokens
    by_modality: dict[str, ModalityCounts]
    control: int  # control tokens of all documents
    fill: float  # fraction of the slots of all rows that hold a token

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
        return [
            ("documents", f"{len(ordered):,}"),
            ("tokens a document: shortest, median, longest", f"{ordered[0]:,}, {middle:,}, {last:,}"),
            ("slots filled", f"{self.fill:.3f}"),
        ]


def inspect(documents: Sequence[Sequence[Segment]], grammar: Grammar, batch_size: int, row_length: int) -> Inspection:
    """Counts over documents that are packed in batches, as in training."""
    by_modality = {}
    for name in grammar.names:
        segments = [segment for document in documents for segment in document if segment.modality == name]
        tokens = [len(segment.tokens) for segment in segments]
        clean = sum(n for n, segment in zip(tokens, segments, strict=True) if not segment.loss)
        by_modality[name] = ModalityCounts(len(segments), sum(tokens), clean)
    lengths = [grammar.length(document) for document in documents]
    slots = 0
    for start in range(0, len(documents), batch_size):
        b, s = pack(documents[start : start + batch_size], grammar, row_length).layout.document.shape
        slots += b * s
    control = sum(lengths) - sum(counts.tokens for counts in by_modality.values())
    return Inspection(lengths, by_modality, control, sum(lengths) / slots)
