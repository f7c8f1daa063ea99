"""Interleaved sequences: segments, how they write a document, and the records of a batch of documents.

Knows ids and shapes; leaves packing to `packing.py`, embedding and scoring to objectives, and media to codecs.

Shape letters, here and everywhere: b rows of a batch, s slots of a row, N tokens of a batch (no padding),
n tokens of one modality, t its targets, k its segments, d dim, h heads, e = d / h.

A document reads, as tokens::

    <end of document> <begin a> a_1 .. a_n <end a> <begin b> b_1 .. b_m <end b> ...

The tokens in angle brackets are *control tokens*: ids of the one discrete modality named `control`, which embeds,
routes and predicts them. What follows a segment (or starts a document) is predicted at the control token before it.
A causal segment is predicted token by token, its first token at its begin token; if it is discrete, a stop id of its
own vocabulary ends it. Every other segment ends by its length, which its shape fixes or its begin token tells: there is
a begin token for each length. Control tokens fix the rest, so they carry no loss there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from torch import Tensor


class Segment(NamedTuple):
    """One modality's tokens inside a document; a document is a `list[Segment]`."""

    modality: str
    tokens: Tensor  # (n,) ids or (n, latent_dim) latents
    loss: bool = True  # False: context, shown clean
    noise_cap: float = 1.0  # the most noise it may be shown with, of 1


class Layout(NamedTuple):
    """Where every token sits; the same for every layer, computed once per batch on the host."""

    order: Tensor  # (N,) slot b * s + s' of each token, grouped by tower and modality
    counts: tuple[int, ...]  # tokens of each modality, in the order of the groups: host ints, no device sync
    document: Tensor  # (b, s) number within the row, -1 on padding
    position: Tensor  # (b, s) place within the document, -1 on padding
    reach: Tensor  # (b, s) last position of the document that the token attends to, -1 on padding
    rank: Tensor  # (N,) place of each grouped token in the sequence: row after row, without the padding
    # (k, 4) runs of the sequence: start, end, start of its document, whether it is causal inside. It sees all of its
    # document that stands before it. An array of numpy stays on the host, and nobody walks through it on the way
    blocks: np.ndarray


class Part(NamedTuple):
    """What one modality brings to a batch, in the order of its rows in the layout."""

    tokens: Tensor  # (n,) ids or (n, latent_dim)
    segment: Tensor  # (n,) which of this modality's k segments; -1 for control tokens
    loss: Tensor  # (k,) bool: whether a segment is learned, or shown clean
    noise_cap: Tensor  # (k,)
    target: Tensor  # (t,) or (t, latent_dim): clean tokens to be predicted
    read: Tensor  # (t,) row of the N grouped hidden states at which each is predicted
    weight: Tensor  # (t,) 1, or 0 where the segment carries no loss
    share: Tensor  # (t,) of its segment's targets; 1 for control tokens
    content: Tensor  # (t,) bool: False for control tokens


class InterleavedBatch(NamedTuple):
    layout: Layout
    parts: dict[str, Part]


@dataclass(frozen=True)
class Tokens:
    """What the tokens of a modality are: ids below `vocab_size`, or vectors of `latent_dim`."""

    vocab_size: int | None = None
    latent_dim: int | None = None
    length: int | None = None  # of a segment, where its shape fixes it
    grid: tuple[int, int] | None = None  # rows and columns of a segment, where its tokens lie on one
    patch_size: int = 1  # side of the square of positions that a token of a grid holds, channel by channel
    max_length: int | None = None  # of a segment whose begin token tells its length
    codebook: tuple[int, int] | None = None  # shape of the codec's table of what its ids stand for, where it has one

    @property
    def discrete(self) -> bool:
        return self.vocab_size is not None


class Grammar:
    """How modalities write a document: which ids are control tokens, which segments stop by an id, who sees whom.

    Args:
        tokens: what each modality's codec makes.
        causal: whether each modality attends causally inside its own segments.
        control: the discrete modality that owns the control tokens.
        groups: all modalities, in the order in which their tokens are grouped.
    """

    def __init__(self, tokens: Mapping[str, Tokens], causal: Mapping[str, bool], control: str, groups: Sequence[str]):
        if control not in tokens:
            raise ValueError(f"control is {control!r}, wanted one of the modalities: {', '.join(sorted(tokens))}")
        if not (tokens[control].discrete and causal[control]):
            raise ValueError(f"control is {control!r}, wanted a modality of ids that is learned causally")
        self.tokens, self.causal, self.control, self.groups = dict(tokens), dict(causal), control, tuple(groups)
        self.names = tuple(sorted(tokens))  # sorted: the order of declaration means nothing
        first = self._content_size(control)
        self.end_of_document = first
        self.begin = {name: first + 1 + 2 * i for i, name in enumerate(self.names)}
        self.end = {name: first + 2 + 2 * i for i, name in enumerate(self.names)}
        self.sizes = {name: self._sizes(name) for name in self.names}  # lengths that a begin token tells, if any
        self.begins = {name: [id] for name, id in self.begin.items()}  # one for each length
        unused = first + 1 + 2 * len(self.names)
        for name, sizes in self.sizes.items():  # above all others, so that ids do not move where nothing tells a length
            self.begins[name] += range(unused, unused + len(sizes[1:]))
            unused += len(sizes[1:])
        self._control_ids = unused - first

    def _sizes(self, name: str) -> range:
        kind = self.tokens[name]
        if kind.length is not None or kind.max_length is None or self.stop(name) is not None:
            return range(0)
        if kind.max_length < 1:
            raise ValueError(f"{name}: max_length is {kind.max_length}, wanted at least 1")
        return range(1, kind.max_length + 1)

    def begin_of(self, name: str, length: int) -> int:
        """The id that begins a segment of this length."""
        sizes = self.sizes[name]
        return self.begins[name][sizes.index(length) if sizes else 0]

    def stop(self, name: str) -> int | None:
        """The id that ends a segment of this modality; None where its shape ends it."""
        return self.tokens[name].vocab_size if self.causal[name] else None

    def _content_size(self, name: str) -> int:
        return (self.tokens[name].vocab_size or 0) + (self.stop(name) is not None)

    def ids(self, name: str) -> int:
        """Size of a discrete modality's embedding: its codec's ids, stop and control ids."""
        return self._content_size(name) + (self._control_ids if name == self.control else 0)

    def length(self, document: Sequence[Segment]) -> int:
        """Slots that a document takes, control tokens included."""
        return 1 + sum(2 + len(segment.tokens) for segment in document)

    def check(self, segment: Segment) -> None:
        """Raises ValueError where a segment does not fit its modality."""
        if segment.modality not in self.tokens:
            raise ValueError(f"modality {segment.modality!r} is not one of {', '.join(self.names)}")
        kind, tokens = self.tokens[segment.modality], segment.tokens
        if kind.discrete and (tokens.dim() != 1 or tokens.is_floating_point()):
            raise ValueError(f"{segment.modality}: tokens are {tokens.dtype} {tuple(tokens.shape)}, wanted ids (n,)")
        if kind.vocab_size and len(tokens) and not 0 <= int(tokens.min()) <= int(tokens.max()) < kind.vocab_size:
            seen = f"{int(tokens.min())} to {int(tokens.max())}"
            raise ValueError(f"{segment.modality}: ids are {seen}, wanted 0 to {kind.vocab_size - 1}")
        if not kind.discrete and (tokens.dim() != 2 or tokens.shape[1] != kind.latent_dim):
            shape = tuple(tokens.shape)
            raise ValueError(f"{segment.modality}: tokens are {shape}, wanted latents (n, {kind.latent_dim})")
        self.check_length(segment.modality, len(tokens))

    def check_length(self, name: str, length: int) -> None:
        """Raises ValueError where a segment of a modality cannot have so many tokens."""
        wanted, sizes = self.tokens[name].length, self.sizes[name]
        if wanted not in (None, length):
            raise ValueError(f"{name}: a segment has {length} tokens, wanted {wanted}")
        if sizes and length not in sizes:
            raise ValueError(f"{name}: a segment has {length} tokens, wanted 1 to {sizes[-1]}")
