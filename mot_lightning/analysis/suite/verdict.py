"""Whether claims hold: by the 95 % interval over seeds of s, or of the ratio of two."""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

from mot_lightning.analysis.compare.comparison import Comparison, Row
from mot_lightning.analysis.compare.estimate import Estimate, geometric_mean
from mot_lightning.analysis.suite.claim import Claim

Verdict = Literal["holds", "does not hold", "cannot tell"]


class Judged(NamedTuple):
    """A claim with its verdict.

    Attributes:
        estimate: of s, or of its ratio to another s, over seeds; null if an arm has no runs.
        quantity: what the estimate is of.
    """

    claim: Claim
    verdict: Verdict
    estimate: Estimate | None
    quantity: str


def judge(claim: Claim, comparison: Comparison, size: str | None = None) -> Judged:
    """The verdict on a claim: it holds if the whole interval is on its side of the bound.

    Args:
        size: that of the claim, as the comparison names it; null where all runs have one.
    """
    bound = claim.bound
    names, limit = (bound, 1.0) if isinstance(bound, tuple) else (None, bound)
    quantity = f"s({claim.arm}, {claim.modality})" + (f" / s({names[0]}, {names[1]})" if names else "")
    quantity += f" at {claim.size}" if claim.size else ""
    try:
        row, other = (_row(comparison, *of, size) if of else None for of in ((claim.arm, claim.modality), names))
        estimate = ratio(row, other)
    except KeyError:
        return Judged(claim, "cannot tell", None, quantity)
    below, above = estimate.high < limit, estimate.low > limit  # false for NaN, of a single seed
    holds, fails = (below, above) if claim.below is not None else (above, below)
    return Judged(claim, "holds" if holds else "does not hold" if fails else "cannot tell", estimate, quantity)


def ratio(row: Row | None, other: Row | None) -> Estimate:
    """s of a row over that of another, over pairs of runs; null stands for the baseline, whose s is 1.

    Raises:
        KeyError: they have no pair of seeds in common.
    """
    slopes, others = ({} if one is None else one.slopes for one in (row, other))
    pairs = [pair for pair in {**slopes, **others} if all(one is None or pair in one.slopes for one in (row, other))]
    if not pairs:
        raise KeyError("no pair of runs in common")
    estimate = geometric_mean([slopes.get(pair, 1.0) / others.get(pair, 1.0) for pair in pairs])
    sign, inverse = ("" if one is None else one.steps.sign for one in (row, other))
    low = 0.0 if sign in ("<", "?") or inverse in (">", "?") else estimate.low
    high = math.inf if sign in (">", "?") or inverse in ("<", "?") else estimate.high
    return estimate._replace(low=low, high=high)


def _row(comparison: Comparison, arm: str, modality: str, size: str | None) -> Row | None:
    return None if arm == comparison.baseline else comparison.row(arm, modality, size)


def table_of(judged: Sequence[Judged]) -> list[list[str]]:
    """A row for each claim, below the head."""
    rows = [["claim", "verdict", "quantity", "value", "bound"]]
    for one in judged:
        claim = one.claim
        limit = "1" if isinstance(claim.bound, tuple) else f"{claim.bound:g}"
        sign = "below" if claim.below is not None else "above"
        rows.append([claim.claim, one.verdict, one.quantity, str(one.estimate or ""), f"{sign} {limit}"])
    return rows
