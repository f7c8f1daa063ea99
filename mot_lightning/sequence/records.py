"""Interleaved sequences: segments, how they write a document, and the records of a batch of documents.

Knows shapes; leaves control tokens to `grammar.py`, packing to `packing.py`, embedding and scoring to objectives, and
media to codecs.

Shape letters, here and everywhere: b rows of a batch, s slots of a row, N tokens of a batch (no padding),
n tokens of one modality, t its targets, k its segments, d dim, h heads, e = d / h.

A document reads, as tokens::

    <end of document> <begin a> a_1 .. a_n <end a> <begin b> b_1 .. b_m <end b> ...

The tokens in angle brackets are *control tokens*: ids of the one discrete modality named `control`, which embeds,
routes and predicts them. What follows a segment (or starts a document) is predicted at the control token before it.
A causal segment is predicted token by token, its first token at its begin token; if it is discrete, a stop id of its
own vocabulary ends it. Every other segment ends by its length, which its shape fixes or its begin token encodes: there
is a begin token for each length. End tokens follow from these, so they carry no loss. A segment of an *observed*
modality is given and not predicted: neither its tokens nor its begin token carry a loss.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

Ids = Int[Tensor, " n"]
Latents = Float[Tensor, "n latent_dim"]


class Segment(NamedTuple):
    """One modality's tokens inside a document; a document is a `list[Segment]`."""

    modality: str
    tokens: Ids | Latents
    loss: bool = True  # False for clean context
    noise_cap: float = 1.0  # maximum noise level, from 0 to 1
    extra_bytes: float = 0.0  # bytes of the medium less those that its ids encode: not 0 for a lossy tokenizer
    weight: float = 1.0  # 2 counts as two such segments would; 0 is as no loss
    seed: int | None = None  # of its noise, 63 bits; None: its noise depends on its place in the batch, and on the step


class Piece(list[Segment]):
    """A part of a document, packed as a document: what comes before and after it is neither seen nor predicted."""

    begins = ends = True  # whether the document begins and ends with it
    cut = False  # whether its last segment goes on in the next piece, so that no stop id ends it


class Layout(NamedTuple):
    """Positions of all tokens; the same for every layer, computed once per batch on the host."""

    slot: Int[Tensor, " N"]  # row * s + column of each token, grouped by tower and modality
    counts: tuple[int, ...]  # tokens of each modality, in the order of the groups: host ints, no device sync
    document: Int[Tensor, "b s"]  # index within the batch, -1 on padding; a piece of a document counts as one
    position: Int[Tensor, "b s"]  # position within the document, -1 on padding
    last_visible: Int[Tensor, "b s"]  # last position of the document that the token attends to, -1 on padding
    packed_index: Int[Tensor, " N"]  # index of each grouped token in the rows, concatenated without padding
    # runs of packed tokens: start, end, start of the document, and whether attention within the run is causal. A run
    # attends to all earlier tokens of its document. A NumPy array stays on the host when the batch moves to a device
    blocks: Int[np.ndarray, "runs 4"]


class ModalityBatch(NamedTuple):
    """Tokens and targets of one modality in a batch, in the order of its tokens in the layout."""

    tokens: Ids | Latents
    segment: Int[Tensor, " n"]  # index among the modality's k segments; -1 for control tokens
    loss: Bool[Tensor, " k"]  # False for segments of clean context
    noise_cap: Float[Tensor, " k"]
    target: Int[Tensor, " t"] | Float[Tensor, "t latent_dim"]  # clean tokens to predict
    read_at: Int[Tensor, " t"]  # index among the N hidden states of the one that predicts the target
    weight: Float[Tensor, " t"]  # of the segment, or 0 if it has no loss; 1 for control tokens
    segment_weight: Float[Tensor, " t"]  # 1 / number of targets in its segment; 1 for control tokens
    content: Bool[Tensor, " t"]  # False for control tokens
    extra_bytes: Float[Tensor, " t"]  # the target's share of its segment's extra bytes
    segment_seed: Int[Tensor, " k"]  # of the noise of a segment
    token_seed: Int[Tensor, " n"]  # of the noise of a token; of a control token, from the segment beside it


class Step(NamedTuple):
    """The optimizer step that a training batch belongs to: with gradient accumulation, one batch of several."""

    position: int  # of this batch among those of the step
    batches: int  # of the step
    targets: dict[str, tuple[float, float]]  # in all these batches, by modality: targets with a loss, and segments
    numbers: np.ndarray  # of the documents of this batch, in the order of training over all ranks
    over_ranks: int  # documents of this batch and of those that other ranks have instead


class Skipped(NamedTuple):
    """A document that is left out, as a medium of it cannot be used."""

    source: str  # name of the source that it is from
    modality: str  # of the medium; "record" if the record has none that can be read
    reason: str  # a word or two
    message: str  # names the file or the record


class Sources(NamedTuple):
    """Which of several sources each document of a batch is from, or each piece of one."""

    names: Sequence[str]
    of_document: Int[Tensor, " documents"]  # index among the names


class InterleavedBatch(NamedTuple):
    """Packed documents: the layout of all tokens, and the tokens and targets of each modality."""

    layout: Layout
    by_modality: dict[str, ModalityBatch]
    step: Step | None = None  # set by the loader of training documents
    seeded: bool = False  # whether all segments brought a seed, so that their noise depends on nothing else
    sources: Sources | None = None  # None if there is only one
    skipped: Sequence[Skipped] = ()  # documents that were left out: without segments and without a loss
    pieces: Int[np.ndarray, " pieces"] | None = None  # the document that each packed one is of; None if none is split

    def to(self, device: torch.device | str) -> "InterleavedBatch":
        """The batch on a device, copied without blocking. Lightning calls this in place of searching for tensors."""
        layout = self.layout._replace(**_moved(self.layout, device))
        by_modality = {name: part._replace(**_moved(part, device)) for name, part in self.by_modality.items()}
        sources = self.sources and self.sources._replace(**_moved(self.sources, device))
        return self._replace(layout=layout, by_modality=by_modality, sources=sources)


def _moved(record: Any, device: torch.device | str) -> dict[str, Any]:
    fields = record._asdict()
    return {name: x.to(device, non_blocking=True) for name, x in fields.items() if isinstance(x, Tensor)}


@dataclass(frozen=True)
class Tokens:
    """The tokens of a modality: ids below `vocab_size`, or vectors of size `latent_dim`."""

    vocab_size: int | None = None
    latent_dim: int | None = None
    length: int | None = None  # of every segment, if fixed
    grid: tuple[int, int] | None = None  # rows and columns of a segment, if its tokens lie on a grid
    patch_size: int = 1  # side of the patch that one token of a grid holds, flattened as (channels, rows, columns)
    max_length: int | None = None  # of a segment, if its begin token encodes the length
    codebook: tuple[int, int] | None = None  # shape of the codec's codebook, if it has one
    stop: int | None = None  # the id that ends a segment, if the codec has one; else the grammar adds one
    control_ids: range = range(0)  # of the control modality, as the grammar adds them
    control_ids_alone: tuple[int, ...] = ()  # those in documents of the control modality alone
    decodable: bool = True  # False if the codec cannot turn them into media: they can only be read

    @property
    def discrete(self) -> bool:
        return self.vocab_size is not None
