"""The counts of a run, by stage, and whether too many documents were skipped."""

from collections.abc import Iterable, Mapping
from typing import Any

from datamodules.counts import Counts
from mot_lightning.errors import ConfigError

FEW = 100  # documents; the fraction of bad ones is of at least as many


class RunCounts:
    """The counts of a run, by stage: of training since it began, of val and test in one evaluation."""

    def __init__(self, before: Counts | None = None) -> None:
        self.before = before or Counts()  # when the run was resumed, over all ranks
        self.stages = {stage: Counts() for stage in ("train", "val", "test")}  # of this rank
        self.before_step = Counts()

    def begin_step(self) -> None:
        """Remember the counts before the current optimizer step."""
        self.before_step = self.stages["train"] + Counts()

    def train(self, finished: bool = True) -> Counts:
        """Of training over all ranks, which call this together; of finished optimizer steps only, or of all batches."""
        return self.before + (self.stages["train"] if finished else self.before_step).over_ranks()

    def metrics(self, stage: str, sources: Mapping[str, Any]) -> dict[str, float]:
        """Documents and epochs by source, if there are several, and skipped documents; all ranks call this together.

        Raises:
            ConfigError: too many training documents were skipped.
        """
        if stage != "train":
            counts, self.stages[stage] = self.stages[stage].over_ranks(), Counts()
            return counts.row(stage)
        counts = self.train()
        check(counts, sources.values())
        row = counts.row(stage)
        for name, source in sources.items() if len(sources) > 1 else ():
            row[f"train/source/{name}/documents"] = counts.seen[name]
            row[f"train/source/{name}/epochs"] = counts.seen[name] / max(1, source.size("train"))
        return row


def check(counts: Counts, sources: Iterable[Any]) -> None:
    """Raises ConfigError if more than `max_bad_fraction` of the documents of a source were skipped."""
    for source in sources:
        name, limit = source.source_name, source.max_bad_fraction
        seen, bad = counts.seen[name], counts.of_source(name)
        if bad > limit * max(seen, FEW):
            raise ConfigError(
                f"data.max_bad_fraction is {limit}, but {bad:,} of {seen:,} training documents of {name} cannot be "
                f"used; {counts.messages[name]}"
            )


def line(counts: Counts) -> str:
    """Skipped and split documents in one line; "" if there are none."""
    seen, lines = f"of {counts.seen.total():,} training documents", []
    if counts.skipped:
        parts = ", ".join(f"{' '.join(key)} {count:,}" for key, count in sorted(counts.skipped.items()))
        lines.append(f"skipped {counts.skipped.total():,} {seen}: {parts}")
    if counts.split.total():
        lines.append(f"split {counts.split.total():,} {seen}")
    return "; ".join(lines)
