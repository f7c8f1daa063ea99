"""What may mislead in a comparison: overfitting, learning rates, schedules, few seeds."""

from collections.abc import Sequence

import numpy as np

from mot_lightning.analysis.compare.arms import Arm
from mot_lightning.analysis.compare.comparison import Comparison
from mot_lightning.analysis.compare.curves import FEW, Matching

FEW_SEEDS = {
    1: "1 seed, wanted 3 or more: there is no interval",
    2: "2 seeds, wanted 3 or more: the interval of two is 12.7 standard errors wide to either side, and says little",
}
RISE = 0.01  # of a loss over its minimum, from which on an arm counts as overfitted


def flags_of_arm(comparison: Comparison, arm: Arm, modality: str) -> list[str]:
    """What may mislead in the figures of an arm in a modality."""
    flags = []
    if any(comparison.curve(run, modality).rises_by() > RISE for run in arm.best.values()):
        flags.append(f"ends more than {RISE:.0%} above its lowest loss: overfitted")
    if arm.name == comparison.baseline and _is_flat(comparison, arm, modality):
        flags.append("its loss falls less in the range of the fit than it differs between seeds: s says little")
    if arm.at_edge:
        rates = ", ".join(f"{rate:g}" for rate in arm.grid)
        flags.append(f"its best learning rate {arm.learning_rate:g} is the edge of {rates}")
    if len(arm.runs) > 1 and comparison.split == "val":
        flags.append("its learning rate was chosen on the split that scores")
    if len(arm.best) < 3:
        flags.append(FEW_SEEDS[len(arm.best)])
    return flags


def flags_of_matchings(matchings: Sequence[Matching], yardstick: bool) -> list[str]:
    """What may mislead where an arm has few losses of the baseline, or had them too soon.

    Args:
        yardstick: whether the arm is the baseline with another seed or rate, which need not reach as much.
    """
    pairs, flags = f"in {{}} of {len(matchings)} pairs of runs", []
    if low := sum(matching.is_lower_bound for matching in matchings):
        flags.append(f"{pairs.format(low)} it stays above losses of the baseline: s is a lower bound")
    elif (reached := float(np.mean([matching.reached for matching in matchings]))) < 1 - FEW and not yardstick:
        flags.append(f"reaches {reached:.0%} of the baseline's losses by its end: s is of these alone")
    if high := sum(matching.is_upper_bound for matching in matchings):
        flags.append(
            f"{pairs.format(high)} it has losses of the baseline at its first evaluation: s is an upper bound, "
            "lower trainer.val_check_interval"
        )
    return flags


def flags_of_all(comparison: Comparison) -> list[str]:
    """What may mislead in all figures."""
    runs = [run for arm in comparison.arms for run in arm.best.values()]
    schedules = {str(run.config["model"]["optimizer"].get("schedule")) for run in runs}
    flags = []
    if decaying := sorted(schedules - {"constant"}):
        flags.append(
            f"the learning rate decays ({', '.join(decaying)}): a run's loss at a step then depends on where it ends, "
            "and s with it; model.optimizer.schedule=constant has no such effect"
        )
    if any(len(arm.grid) == 1 for arm in comparison.arms):
        flags.append("not every arm had several learning rates: most of s may be a badly chosen one")
    if lacking := [run for run in runs if "fit/training_seconds" not in run.figures]:
        flags.append(
            f"{lacking[0].folder} has not ended, or is of an older version: tokens, FLOPs and time are unknown"
        )
    return flags


def _is_flat(comparison: Comparison, arm: Arm, modality: str) -> bool:
    """Whether the loss falls less in the range of the fit, in the mean, than it differs between seeds at the end."""
    curves = [comparison.curve(run, modality) for run in arm.best.values()]
    starts = [curve.losses[curve.steps >= comparison.start * curve.steps[-1]][0] for curve in curves]
    ends = [curve.losses[-1] for curve in curves]
    return len(ends) > 1 and float(np.mean(starts) - np.mean(ends)) < float(np.ptp(ends))
