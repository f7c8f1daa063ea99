"""Packing of documents into rows: slots, visibility and targets of all tokens. The grammar assigns ids."""

from bisect import bisect_left, insort
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mot_lightning.errors import ConfigError
from mot_lightning.seeds import mix, mix_each
from mot_lightning.sequence.grammar import Grammar
from mot_lightning.sequence.records import InterleavedBatch, Layout, ModalityBatch, Piece, Segment, Tokens


def assign_rows(lengths: Sequence[int], row_length: int) -> list[tuple[int, int]]:
    """Best-fit decreasing packing of documents, none of them split: (row, offset) of each.

    The rows are as short as their number allows, since all are padded to the longest.

    Raises:
        ConfigError: a document is longer than a row.
    """
    longest = max(lengths, default=0)
    if not longest:
        return []
    if longest > row_length:
        raise ConfigError(
            f"data.row_length is {row_length}, wanted at least {longest}, the length of a document, "
            "or data.too_long skip or split"
        )
    assigned, count = _best_fit(lengths, row_length)
    shortest = max(longest, -(-sum(lengths) // count))
    while shortest < row_length:
        shorter = (shortest + row_length) // 2
        tried, rows = _best_fit(lengths, shorter)
        if rows > count:
            shortest = shorter + 1
        else:
            assigned, row_length = tried, shorter
    return assigned


def _best_fit(lengths: Sequence[int], row_length: int) -> tuple[list[tuple[int, int]], int]:
    """(row, offset) of each document, and the number of rows; the longest first, into the fullest row with room."""
    rows: list[tuple[int, int]] = []  # free slots and index of each row, sorted
    assigned = [(0, 0)] * len(lengths)
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        place = bisect_left(rows, (lengths[i], 0))
        free, row = rows.pop(place) if place < len(rows) else (row_length, len(rows))
        assigned[i] = row, row_length - free
        insort(rows, (free - lengths[i], row))
    return assigned, len(rows)


class _Collector:
    """Collects the fields of one `ModalityBatch`; plain lists, since they grow by a few items at a time."""

    def __init__(self) -> None:
        self.tokens: list[Tensor] = []
        self.slots: list[int] = []
        self.segment: list[int] = []
        self.loss: list[bool] = []
        self.noise_cap: list[float] = []
        self.target: list[Tensor] = []
        self.read_at: list[int] = []  # slots
        self.weight: list[float] = []
        self.segment_weight: list[float] = []
        self.content: list[bool] = []
        self.extra_bytes: list[float] = []
        self.segment_seed: list[int] = []
        self.seeded: list[tuple[int, int, int]] = []  # runs of tokens: seed of the segment, first index in it, length

    def add_target(
        self, target: Tensor, read_at: Sequence[int], weight: float, content: bool, extra_bytes: float = 0.0
    ) -> None:
        self.target.append(target)
        self.read_at += read_at
        self.weight += [weight] * len(read_at)
        self.segment_weight += [1 / max(1, len(read_at)) if content else 1.0] * len(read_at)
        self.content += [content] * len(read_at)
        self.extra_bytes += [extra_bytes / max(1, len(read_at))] * len(read_at)


def pack(documents: Sequence[Sequence[Segment]], grammar: Grammar, row_length: int) -> InterleavedBatch:
    """Packs documents into one batch with rows of at most `row_length` slots; no document is split.

    Raises:
        ValueError: a document does not fit a row (ConfigError), or a segment does not fit its modality.
    """
    if not documents:
        raise ValueError("there are 0 documents to pack, wanted at least 1")
    lengths = [grammar.length(document) for document in documents]
    assigned = assign_rows(lengths, row_length)
    b = 1 + max(row for row, _ in assigned)
    s = max(offset + length for (_, offset), length in zip(assigned, lengths, strict=True))
    document_index, position, last_visible = (np.full((b, s), -1) for _ in range(3))  # (b, s)
    stops = {name: torch.tensor([grammar.stop(name)]) for name in grammar.groups if grammar.stop(name) is not None}
    collectors = {name: _Collector() for name in grammar.groups}
    control = collectors[grammar.control]
    used = np.bincount([row for row, _ in assigned], lengths).astype(int)
    padding = (np.arange(b) * s - np.cumsum(used) + used).tolist()  # empty slots before each row
    blocks: list[tuple[int, int, int, bool]] = []  # rows of `Layout.blocks`

    seeds = [[mix(i, j) if s.seed is None else s.seed for j, s in enumerate(d)] for i, d in enumerate(documents)]
    for index, (document, (row, offset), length) in enumerate(zip(documents, assigned, lengths, strict=True)):
        piece = document if isinstance(document, Piece) else Piece(document)
        columns = slice(offset, offset + length)
        document_index[row, columns] = index
        position[row, columns] = last_visible[row, columns] = np.arange(length)
        slot = row * s + offset
        start = run = slot - padding[row]  # packed indices at which the document and its current run begin
        end = start + length
        control_ids, control_slots = [grammar.end_of_document], [slot]
        control_seeded = [(seeds[index][0] if document else mix(index), -3, 1)]
        for segment, seed in zip(document, seeds[index], strict=True):
            grammar.check(segment)
            name, n = segment.modality, len(segment.tokens)
            control_ids += [grammar.begin_of(name, n), grammar.end[name]]
            control_slots += [slot + 1, slot + 2 + n]
            control_seeded.append((seed, -2, 2))
            content_slots = range(slot + 2, slot + 2 + n)
            collector, predicted = collectors[name], name in grammar.predicted
            weight = float(segment.weight * segment.loss * predicted)
            collector.tokens.append(segment.tokens)
            collector.slots += content_slots
            collector.segment += [len(collector.loss)] * n
            collector.loss.append(weight > 0)
            collector.noise_cap.append(segment.noise_cap)
            collector.segment_seed.append(seed)
            collector.seeded.append((seed, 0, n))
            if predicted and grammar.causal[name]:  # a token is predicted at the previous one; the last predicts stop
                goes_on = piece.cut and segment is piece[-1]
                target = torch.cat([segment.tokens, stops[name]]) if name in stops and not goes_on else segment.tokens
                collector.add_target(target, range(slot + 1, slot + 1 + len(target)), weight, True, segment.extra_bytes)
            elif predicted:
                collector.add_target(segment.tokens, content_slots, weight, True, segment.extra_bytes)
            if not grammar.causal[name]:
                first = slot + 2 - row * s
                last_visible[row, first : first + n] = first + n - 1 - offset
                segment_start = slot + 2 - padding[row]
                blocks += [(run, segment_start, start, True), (segment_start, segment_start + n, start, False)]
                run = segment_start + n
            slot += n + 2
        blocks.append((run, end, start, True))
        control.tokens.append(_tensor(control_ids, np.int64))
        control.slots += control_slots
        control.seeded += control_seeded
        control.segment += [-1] * len(control_ids)
        # the start of a document and each end token predict the next control token
        upcoming = _tensor([*control_ids[1::2], grammar.end_of_document], np.int64)
        control.add_target(upcoming, control_slots[::2], float(bool(document)), False)  # an empty one has no loss
        # what is observed is given, not chosen
        control.weight[-len(upcoming) : -1] = [float(segment.modality in grammar.predicted) for segment in document]
        control.weight[-len(upcoming)] *= piece.begins
        control.weight[-1] *= piece.ends

    counts = tuple(len(collector.slots) for collector in collectors.values())
    slots = np.array([slot for collector in collectors.values() for slot in collector.slots])  # (N,)
    index_of = np.empty(b * s, int)  # slot -> index among the N grouped tokens
    index_of[slots] = np.arange(len(slots))
    packed_index = slots - np.array(padding)[slots // s]  # (N,)
    runs = np.array(sorted(block for block in blocks if block[0] < block[1]))  # (runs, 4)
    layout = Layout(
        slot=torch.from_numpy(slots),
        counts=counts,
        document=torch.from_numpy(document_index),
        position=torch.from_numpy(position),
        last_visible=torch.from_numpy(last_visible),
        packed_index=torch.from_numpy(packed_index),
        blocks=runs,
    )
    by_modality = {name: _batch(collector, grammar.tokens[name], index_of) for name, collector in collectors.items()}
    seeded = all(segment.seed is not None for document in documents for segment in document)
    return InterleavedBatch(layout, by_modality, seeded=seeded)


def _batch(collector: _Collector, kind: Tokens, index_of: np.ndarray) -> ModalityBatch:
    empty = torch.empty(0, dtype=torch.long) if kind.discrete else torch.empty(0, kind.latent_dim or 0)
    return ModalityBatch(
        tokens=torch.cat([empty, *collector.tokens]),
        segment=_tensor(collector.segment, np.int64),
        loss=_tensor(collector.loss, np.bool_),
        noise_cap=_tensor(collector.noise_cap, np.float32),
        target=torch.cat([empty, *collector.target]),
        read_at=torch.from_numpy(index_of[np.array(collector.read_at, dtype=int)]),
        weight=_tensor(collector.weight, np.float32),
        segment_weight=_tensor(collector.segment_weight, np.float32),
        content=_tensor(collector.content, np.bool_),
        extra_bytes=_tensor(collector.extra_bytes, np.float32),
        segment_seed=_tensor(collector.segment_seed, np.int64),
        token_seed=torch.from_numpy(_token_seeds(collector.seeded)),
    )


def _tensor(values: list[Any], kind: Any) -> Tensor:
    return torch.from_numpy(np.array(values, dtype=kind))  # torch.tensor takes several times as long


def _token_seeds(runs: list[tuple[int, int, int]]) -> np.ndarray:
    """The seed of each token of runs, given by the seed of the segment, the first index in it, and the length."""
    seed, first, length = np.array(runs, dtype=np.int64).reshape(-1, 3).T
    index = np.arange(length.sum()) + np.repeat(first - np.cumsum(length) + length, length)
    return mix_each(np.repeat(seed, length), index)
