"""Documents by source: how many were seen, and how many were skipped and why, exact on any number of ranks and workers.

Knows batches; when they count is left to `interleaved.py`.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as dist

from mot_lightning.sequence import InterleavedBatch


class Counts:
    """Documents of one stage.

    Attributes:
        seen: documents by source, skipped ones too.
        skipped: by (source, modality, reason).
        messages: of the last skipped document of each source.
    """

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        self.skipped: Counter[tuple[str, str, str]] = Counter()
        self.messages: dict[str, str] = {}

    def add(self, batch: InterleavedBatch, source: str) -> None:
        """Add the documents of a batch, which are of one source if the batch names none."""
        if batch.sources is None:
            self.seen[source] += int(batch.layout.document.max()) + 1
        else:
            counts = torch.bincount(batch.sources.of_document, minlength=len(batch.sources.names)).tolist()
            self.seen.update(dict(zip(batch.sources.names, counts, strict=True)))
        for one in batch.skipped:
            self.skipped[one.source, one.modality, one.reason] += 1
            self.messages[one.source] = one.message

    def __add__(self, other: "Counts") -> "Counts":
        total = Counts()
        for counts in (self, other):
            total.seen.update(counts.seen)
            total.skipped.update(counts.skipped)
            total.messages.update(counts.messages)
        return total

    def over_ranks(self) -> "Counts":
        """The sum over all ranks, which call this together."""
        if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
            return self
        counts: list[Any] = [None] * dist.get_world_size()
        dist.all_gather_object(counts, self.state())
        return sum(map(Counts.of_state, counts), start=Counts())

    def state(self) -> dict[str, Any]:
        """Plain values, from which `of_state` makes the same counts."""
        skipped = [[*key, count] for key, count in sorted(self.skipped.items())]
        return {"seen": dict(self.seen), "skipped": skipped, "messages": self.messages}

    @classmethod
    def of_state(cls, state: Mapping[str, Any]) -> "Counts":
        counts = cls()
        counts.seen.update(state["seen"])
        counts.skipped.update({(source, modality, reason): n for source, modality, reason, n in state["skipped"]})
        counts.messages.update(state["messages"])
        return counts

    def of_source(self, source: str) -> int:
        """How many documents of a source were skipped."""
        return sum(count for key, count in self.skipped.items() if key[0] == source)

    def row(self, stage: str) -> dict[str, float]:
        """Skipped documents as metrics: `train/skipped/SOURCE/MODALITY/REASON`."""
        named = {"/".join((stage, "skipped", *key)).replace(" ", "_"): n for key, n in sorted(self.skipped.items())}
        return {name: float(count) for name, count in named.items()}
