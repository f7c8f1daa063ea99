"""Documents by source: how many were seen, and how many were skipped and why, exact on any number of ranks and workers.

Knows batches; when they count is left to `interleaved.py`.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch.distributed as dist

from mot_lightning.sequence import InterleavedBatch


class Counts:
    """Documents of one stage.

    Attributes:
        seen: documents by source, skipped ones too.
        split: documents by source that are packed in pieces.
        skipped: by (source, modality, reason).
        messages: of the last skipped document of each source.
    """

    def __init__(self) -> None:
        self.seen, self.split = Counter[str](), Counter[str]()
        self.skipped: Counter[tuple[str, str, str]] = Counter()
        self.messages: dict[str, str] = {}

    def add(self, batch: InterleavedBatch, source: str) -> None:
        """Add the documents of a batch, which are of one source if the batch names none."""
        packed = np.arange(int(batch.layout.document.max()) + 1) if batch.pieces is None else batch.pieces
        _, first, pieces = np.unique(packed, return_index=True, return_counts=True)  # of each document
        names = (source,) if batch.sources is None else batch.sources.names
        of_document = np.zeros_like(first) if batch.sources is None else batch.sources.of_document.numpy()[first]
        for number, name in enumerate(names):
            self.seen[name] += int((of_document == number).sum())
            self.split[name] += int((pieces[of_document == number] > 1).sum())
        for one in batch.skipped:
            self.skipped[one.source, one.modality, one.reason] += 1
            self.messages[one.source] = one.message

    def __add__(self, other: "Counts") -> "Counts":
        total = Counts()
        for name, values in [*vars(self).items(), *vars(other).items()]:
            getattr(total, name).update(values)
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
        return {"seen": dict(self.seen), "split": dict(self.split), "skipped": skipped, "messages": self.messages}

    @classmethod
    def of_state(cls, state: Mapping[str, Any]) -> "Counts":
        counts = cls()
        counts.seen.update(state["seen"])
        counts.split.update(state.get("split", {}))
        counts.skipped.update({(source, modality, reason): n for source, modality, reason, n in state["skipped"]})
        counts.messages.update(state["messages"])
        return counts

    def of_source(self, source: str) -> int:
        """How many documents of a source were skipped."""
        return sum(count for key, count in self.skipped.items() if key[0] == source)

    def row(self, stage: str) -> dict[str, float]:
        """Documents as metrics: `train/skipped/SOURCE/MODALITY/REASON`, and `train/split/SOURCE`."""
        counts = {"/".join(("skipped", *key)): count for key, count in sorted(self.skipped.items())}
        counts |= {f"split/{name}": count for name, count in sorted(self.split.items()) if count}
        return {f"{stage}/{name}".replace(" ", "_"): float(count) for name, count in counts.items()}
