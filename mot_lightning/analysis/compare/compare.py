"""The comparison: for each arm and modality, the share of the baseline's steps, tokens, FLOPs and time that it needs.

Beside it stands the yardstick, the baseline against itself with another seed or learning rate, and what may mislead.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import permutations

from mot_lightning.analysis.compare.arms import Arm, arms_of, baseline_of
from mot_lightning.analysis.compare.comparable import check_comparable, common_modalities
from mot_lightning.analysis.compare.comparison import Comparison, Pair, Row
from mot_lightning.analysis.compare.estimate import Estimate, extremes, geometric_mean, mean
from mot_lightning.analysis.compare.flags import flags_of_all, flags_of_arm, flags_of_matchings
from mot_lightning.analysis.compare.recorded import RecordedRun
from mot_lightning.errors import ConfigError


def compare(
    runs: Sequence[RecordedRun],
    baseline: str | None = None,
    window: int = 3,
    start: float = 0.5,
    ignored: Sequence[str] = (),
    grids: Mapping[tuple[str, str], Sequence[float]] | None = None,
) -> Comparison:
    """Compare runs by step matching.

    Args:
        baseline: name of an arm; null takes the only dense arm, or the first.
        window: evaluations that the moving mean is over.
        start: where the fit begins, as a fraction of the baseline's steps.
        ignored: of data, budget and schedule, those in which runs may differ.
        grids: as in `arms_of`.

    Raises:
        ConfigError: they cannot be compared.
    """
    check_comparable(runs, ignored)
    modalities, left_out = common_modalities(runs)
    arms = arms_of(runs, grids)
    name = baseline_of(arms, baseline)
    if len({arm.name for arm in arms}) < 2:
        raise ConfigError(f"all runs are of {name}, wanted a baseline and another arm")
    on_test = all("test" in run.curves and {*modalities} <= {*run.curves["test"]} for run in runs)
    plan = Comparison(name, arms, modalities, "test" if on_test else "val", window, start)
    rows = [row for modality in modalities for arm in arms for row in _rows(plan, arm, modality)]
    return replace(plan, rows=rows, notes=[*left_out, *flags_of_all(plan)])


def _rows(plan: Comparison, arm: Arm, modality: str) -> list[Row]:
    references = [one for one in plan.arms if one.name == plan.baseline and one.size == arm.size]
    if not references:
        raise ConfigError(f"{plan.baseline} has no run of size {arm.size}, wanted one as of {arm.name}")
    if arm.name == plan.baseline:
        return _yardsticks(plan, arm, modality)
    reference = references[0]
    pairs = [(reference.best[seed], run) for seed, run in arm.best.items() if seed in reference.best]
    if not pairs:
        raise ConfigError(f"{arm.name} and {reference.name} have no seed in common, wanted one: pairs are of one seed")
    return [_row(plan, arm.name, pairs, modality, geometric_mean, flags_of_arm(plan, arm, modality))]


def _yardsticks(plan: Comparison, arm: Arm, modality: str) -> list[Row]:
    """The baseline against itself: each seed against each other, and its best learning rate against the others."""
    rows = [_row(plan, arm.name, [(run, run) for run in arm.best.values()], modality, geometric_mean,
                 flags_of_arm(plan, arm, modality), yardstick=True)]  # fmt: skip
    if len(arm.best) > 1:
        over_pairs = partial(extremes, n=len(arm.best))
        rows.append(_row(plan, f"{arm.name}, another seed", [*permutations(arm.best.values(), 2)], modality, over_pairs,
                         yardstick=True))  # fmt: skip
    for rate, of_rate in sorted(arm.runs.items()):
        pairs = [(run, of_rate[seed]) for seed, run in arm.best.items() if seed in of_rate]
        if rate != arm.learning_rate and pairs:
            rows.append(_row(plan, f"{arm.name}, rate {rate:g}", pairs, modality, geometric_mean, yardstick=True))
    return rows


def _row(
    plan: Comparison,
    name: str,
    pairs: Sequence[Pair],
    modality: str,
    over_seeds: Callable[[Sequence[float]], Estimate],
    flags: Sequence[str] = (),
    yardstick: bool = False,
) -> Row:
    matchings = [plan.matching(pair, modality) for pair in pairs]
    slopes = [matching.slope for matching in matchings]
    too_low = any(matching.is_lower_bound for matching in matchings)
    too_high = any(matching.is_upper_bound for matching in matchings)

    def share(per_step: Callable[[RecordedRun], float]) -> Estimate:
        shares = [s * per_step(run) / per_step(base) for s, (base, run) in zip(slopes, pairs, strict=True)]
        estimate = over_seeds(shares)
        low, high = (0.0 if too_high else estimate.low), (math.inf if too_low else estimate.high)
        return estimate._replace(low=low, high=high)

    finals = {run.folder: float(plan.curve(run, modality).losses[-1]) for _, run in pairs}
    return Row(
        arm=name,
        size=pairs[0][1].size,
        modality=modality,
        slopes={(base.seed, run.seed): s for s, (base, run) in zip(slopes, pairs, strict=True)},
        steps=share(lambda run: 1.0),
        tokens=share(lambda run: run.tokens_per_step(modality)),
        flops=share(lambda run: run.flops_per_step),
        seconds=share(lambda run: run.seconds_per_step),
        loss=mean([*finals.values()]),
        flags=[*flags, *flags_of_matchings(matchings, yardstick)],
        yardstick=yardstick,
    )
