"""Documents packed into rows: where every token sits, and what is asked of it. Ids are left to the grammar."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mot_lightning.sequence import Grammar, InterleavedBatch, Layout, Part, Segment, Tokens


def assign_rows(lengths: Sequence[int], row_length: int) -> list[tuple[int, int]]:
    """First-fit packing of whole documents: (row, offset) of each.

    Raises:
        ValueError: a document is longer than a row.
    """
    free: list[int] = []
    places = []
    for length in lengths:
        if length > row_length:
            raise ValueError(f"a document of {length} tokens does not fit a row of {row_length}: raise row_length")
        row = next((r for r, room in enumerate(free) if room >= length), len(free))
        if row == len(free):
            free.append(row_length)
        places.append((row, row_length - free[row]))
        free[row] -= length
    return places


class _Collector:
    """Gathers one modality's tokens and targets while documents are laid out; plain lists, as they grow by a few."""

    def __init__(self) -> None:
        self.tokens: list[Tensor] = []
        self.slots: list[int] = []
        self.segment: list[int] = []
        self.loss: list[bool] = []
        self.noise_cap: list[float] = []
        self.target: list[Tensor] = []
        self.read: list[int] = []  # slots
        self.weight: list[float] = []
        self.share: list[float] = []
        self.content: list[bool] = []

    def add_target(self, target: Tensor, read: Sequence[int], weight: float, content: bool) -> None:
        self.target.append(target)
        self.read += read
        self.weight += [weight] * len(read)
        self.share += [1 / max(1, len(read)) if content else 1.0] * len(read)
        self.content += [content] * len(read)


def pack(documents: Sequence[Sequence[Segment]], grammar: Grammar, row_length: int) -> InterleavedBatch:
    """Documents -> one batch: whole documents in rows of at most `row_length` slots.

    Raises:
        ValueError: a document does not fit a row, or a segment does not fit its modality.
    """
    if not documents:
        raise ValueError("there are 0 documents to pack, wanted at least 1")
    lengths = [grammar.length(document) for document in documents]
    places = assign_rows(lengths, row_length)
    b = 1 + max(row for row, _ in places)
    s = max(offset + length for (_, offset), length in zip(places, lengths, strict=True))
    number, position, reach = (np.full((b, s), -1) for _ in range(3))
    stops = {name: torch.tensor([grammar.stop(name)]) for name in grammar.groups if grammar.stop(name) is not None}
    collectors = {name: _Collector() for name in grammar.groups}
    control = collectors[grammar.control]
    in_row = np.zeros(b, int)
    used = np.bincount([row for row, _ in places], lengths).astype(int)
    padding = (np.arange(b) * s - np.cumsum(used) + used).tolist()  # slots before each row that hold nothing
    blocks: list[tuple[int, int, int, bool]] = []

    for document, (row, offset), length in zip(documents, places, lengths, strict=True):
        here = slice(offset, offset + length)
        number[row, here] = in_row[row]
        in_row[row] += 1
        position[row, here] = reach[row, here] = np.arange(length)
        slot = row * s + offset
        start = run = slot - padding[row]  # of the document and of its causal run, in the sequence
        end = start + length
        control_ids, control_slots = [grammar.end_of_document], [slot]
        for segment in document:
            grammar.check(segment)
            name, n = segment.modality, len(segment.tokens)
            control_ids += [grammar.begin_of(name, n), grammar.end[name]]
            control_slots += [slot + 1, slot + 2 + n]
            own = range(slot + 2, slot + 2 + n)
            part, weight = collectors[name], float(segment.loss)
            part.tokens.append(segment.tokens)
            part.slots += own
            part.segment += [len(part.loss)] * n
            part.loss.append(segment.loss)
            part.noise_cap.append(segment.noise_cap)
            if grammar.causal[name]:  # each token is predicted at the one before it, and the last predicts stop
                target = torch.cat([segment.tokens, stops[name]]) if name in stops else segment.tokens
                part.add_target(target, range(slot + 1, slot + 1 + len(target)), weight, True)
            else:
                part.add_target(segment.tokens, own, weight, True)
                place = slot + 2 - row * s
                reach[row, place : place + n] = place + n - 1 - offset
                own_start = slot + 2 - padding[row]
                blocks += [(run, own_start, start, True), (own_start, own_start + n, start, False)]
                run = own_start + n
            slot += n + 2
        blocks.append((run, end, start, True))
        control.tokens.append(torch.tensor(control_ids))
        control.slots += control_slots
        control.segment += [-1] * len(control_ids)
        # the start of a document and every end predict what begins next
        upcoming = torch.tensor([*control_ids[1::2], grammar.end_of_document])
        control.add_target(upcoming, control_slots[::2], 1.0, False)

    counts = tuple(len(part.slots) for part in collectors.values())
    order = np.array([slot for part in collectors.values() for slot in part.slots])
    row_of = np.empty(b * s, int)
    row_of[order] = np.arange(len(order))
    rank = order - np.array(padding)[order // s]
    runs = np.array(sorted(block for block in blocks if block[0] < block[1]))
    layout = Layout(
        order=torch.from_numpy(order),
        counts=counts,
        document=torch.from_numpy(number),
        position=torch.from_numpy(position),
        reach=torch.from_numpy(reach),
        rank=torch.from_numpy(rank),
        blocks=runs,
    )
    parts = {name: _part(part, grammar.tokens[name], row_of) for name, part in collectors.items()}
    return InterleavedBatch(layout, parts)


def _part(part: _Collector, kind: Tokens, row_of: np.ndarray) -> Part:
    nothing = torch.empty(0, dtype=torch.long) if kind.discrete else torch.empty(0, kind.latent_dim or 0)
    return Part(
        tokens=torch.cat([nothing, *part.tokens]),
        segment=torch.tensor(part.segment, dtype=torch.long),
        loss=torch.tensor(part.loss, dtype=torch.bool),
        noise_cap=torch.tensor(part.noise_cap, dtype=torch.float32),
        target=torch.cat([nothing, *part.target]),
        read=torch.from_numpy(row_of[np.array(part.read, dtype=int)]),
        weight=torch.tensor(part.weight, dtype=torch.float32),
        share=torch.tensor(part.share, dtype=torch.float32),
        content=torch.tensor(part.content, dtype=torch.bool),
    )
