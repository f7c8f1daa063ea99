"""What a comparison consists of: arms, and a row for each arm and modality."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mot_lightning.analysis.compare.arms import Arm
from mot_lightning.analysis.compare.curves import Curve, Matching, match
from mot_lightning.analysis.compare.estimate import Estimate
from mot_lightning.analysis.compare.recorded import RecordedRun

Pair = tuple[RecordedRun, RecordedRun]  # of baseline and arm


@dataclass(frozen=True)
class Row:
    """An arm against the baseline in one modality.

    Attributes:
        slopes: s of each pair of runs, by the seeds of baseline and arm; 1/2 means half of the baseline's steps.
        steps: s over seeds, as are tokens, flops and seconds, each as a share of what the baseline needs.
        loss: at the end, over seeds.
        flags: what may mislead in it.
        yardstick: whether this is the baseline against itself.
    """

    arm: str
    size: str
    modality: str
    slopes: Mapping[tuple[int, int], float]
    steps: Estimate
    tokens: Estimate
    flops: Estimate
    seconds: Estimate
    loss: Estimate
    flags: Sequence[str] = ()
    yardstick: bool = False


@dataclass(frozen=True)
class Comparison:
    """Runs, compared.

    Attributes:
        baseline: its name.
        split: of which the losses are.
        notes: what holds for all rows.
    """

    baseline: str
    arms: Sequence[Arm]
    modalities: Sequence[str]
    split: str
    window: int
    start: float
    rows: Sequence[Row] = ()
    notes: Sequence[str] = field(default_factory=tuple)

    def curve(self, run: RecordedRun, modality: str) -> Curve:
        return run.curves[self.split][modality].smoothed(self.window)

    def matching(self, pair: Pair, modality: str) -> Matching:
        baseline, other = pair
        return match(self.curve(baseline, modality), self.curve(other, modality), self.start)

    def row(self, arm: str, modality: str, size: str | None = None) -> Row:
        """The row of an arm other than the baseline.

        Args:
            size: null where all runs have one.

        Raises:
            KeyError: there is none.
        """
        for row in self.rows:
            if (row.arm, row.modality) == (arm, modality) and size in (None, row.size) and not row.yardstick:
                return row
        raise KeyError(f"{arm} in {modality}")
