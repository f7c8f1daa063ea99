"""How far training is: the documents of all batches since it began, and of those in finished optimizer steps.

Knows numbers of documents and steps of a trainer; no data.
"""

from collections.abc import Mapping
from typing import Any

from datamodules.counts import Counts
from datamodules.run_counts import RunCounts


class Progress:
    """Training documents over all ranks. A batch counts once it is learned from, not when a worker reads it ahead.

    Args:
        resumed_at: documents consumed before this run.
        counts: of these.
    """

    def __init__(self, resumed_at: int = 0, counts: Counts | None = None) -> None:
        self.resumed_at, self.counts = resumed_at, RunCounts(counts)
        self.step = -1  # of the last batch
        self.documents = self.before_step = 0  # of this run: of all batches, and of those before that step

    @classmethod
    def of_state(cls, state: Mapping[str, Any]) -> "Progress":
        return cls(state["consumed"], Counts.of_state(state["counts"]) if "counts" in state else None)

    def begin_batch(self, step: int, documents: int) -> None:
        """Count a batch of an optimizer step, by its documents over all ranks."""
        if step != self.step:
            self.step, self.before_step = step, self.documents
            self.counts.begin_step()
        self.documents += documents

    def consumed(self, trainer: Any) -> int:
        """Documents of finished optimizer steps, and those before this run; of these alone if there is no trainer."""
        if not trainer:
            return self.resumed_at
        return self.resumed_at + (self.documents if trainer.global_step != self.step else self.before_step)

    def state(self, trainer: Any, counted: bool) -> dict[str, Any]:
        """From which `of_state` goes on, with counts by source if these are `counted`; all ranks call this together."""
        state: dict[str, Any] = {"consumed": self.consumed(trainer)}
        if counted:
            finished = not trainer or trainer.global_step != self.step
            state["counts"] = self.counts.train(finished).state()
        return state
