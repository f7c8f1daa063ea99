"""Interleaved sequences: segments, the grammar of a document, and documents packed into batches."""

from mot_lightning.sequence.grammar import Grammar
from mot_lightning.sequence.packing import assign_rows, pack
from mot_lightning.sequence.records import (
    Ids,
    InterleavedBatch,
    Latents,
    Layout,
    ModalityBatch,
    Piece,
    Segment,
    Skipped,
    Sources,
    Step,
    Tokens,
)

__all__ = [
    "Grammar",
    "Ids",
    "InterleavedBatch",
    "Latents",
    "Layout",
    "ModalityBatch",
    "Piece",
    "Segment",
    "Skipped",
    "Sources",
    "Step",
    "Tokens",
    "assign_rows",
    "pack",
]
