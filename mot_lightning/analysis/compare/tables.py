"""A comparison as tables and sentences: for the terminal, Markdown, CSV and the page."""

import math
from collections.abc import Sequence

from mot_lightning.analysis.compare.comparison import Comparison, Row
from mot_lightning.analysis.compare.estimate import CONFIDENCE, Estimate
from mot_lightning.analysis.compare.laws import Law

HEAD = ["modality", "arm", "steps s", "tokens", "FLOPs", "time", "loss", "seeds"]


def rows_of(comparison: Comparison) -> list[list[str]]:
    """The table of all arms, its first row the head; the baseline against itself stands above the arms."""
    rows = [HEAD]
    for row in _sorted(comparison):
        shares = [row.steps, row.tokens, row.flops, row.seconds]
        itself = row.yardstick and row.arm == comparison.baseline
        cells = [_cell(share) for share in shares] if not itself else ["1"] * len(shares)
        rows.append([row.modality, _name(comparison, row), *cells, f"{row.loss.value:.4f}", str(row.steps.n)])
    if all(row[3] == row[2] for row in rows[1:]):  # a step has as many tokens in all arms
        rows = [[*row[:3], *row[4:]] for row in rows]
    return rows


def flags_of(comparison: Comparison) -> list[str]:
    """What may mislead, a line each: in single rows, and in all."""
    by_flag: dict[str, dict[str, list[str]]] = {}  # modalities by arm
    for row in _sorted(comparison):
        for flag in row.flags:
            by_flag.setdefault(flag, {}).setdefault(_name(comparison, row), []).append(row.modality)
    lines = []
    for flag, by_arm in by_flag.items():
        everywhere = all(len(names) == len(comparison.modalities) for names in by_arm.values())
        arms = (arm if everywhere else f"{arm} in {' and '.join(names)}" for arm, names in by_arm.items())
        lines.append(f"{', '.join(arms)}: {flag}")
    return [*lines, *comparison.notes]


def method_of(comparison: Comparison) -> str:
    """How s came about, in a few sentences."""
    return (
        f"s is the share of the steps of {comparison.baseline} after which an arm has the same {comparison.split} "
        f"loss: the slope through the origin over the evaluations from {comparison.start:.0%} of the baseline's steps "
        f"on, of losses smoothed by a moving mean over {comparison.window}. Runs are paired by seed; in brackets, the "
        f"{CONFIDENCE:.0%} t interval over seeds, of logarithms, or for another seed the extremes. "
        "A bound of s has > or < before it, or ? where it is either. The yardstick, "
        f"{comparison.baseline} against itself, is how far s moves without another architecture."
    )


def laws_table(laws: Sequence[Law]) -> list[list[str]]:
    rows = [["modality", "arm", "exponent", "sizes", "decades of FLOPs"]]
    for law in laws:
        low, high = law.exponent.low, law.exponent.high
        interval = "" if math.isnan(low) else f" [{low:.3f}, {high:.3f}]"
        exponent = f"{law.exponent.value:.3f}{interval}"
        rows.append([law.modality, law.arm, exponent, str(law.sizes), f"{law.decades:.1f}"])
    return rows


def records_of(comparison: Comparison) -> list[list[str | float]]:
    """The rows with all numbers, for a CSV file; the first is the head."""
    shares = ("steps", "tokens", "flops", "seconds", "loss")
    head = [f"{share}{end}" for share in shares for end in ("", "_low", "_high")]
    records: list[list[str | float]] = [["modality", "arm", "size", "yardstick", "seeds", *head, "flags"]]
    for row in _sorted(comparison):
        numbers = [number for share in shares for number in getattr(row, share)[:3]]
        place: list[str | float] = [row.modality, row.arm, row.size, int(row.yardstick), row.steps.n]
        records.append([*place, *("" if math.isnan(number) else number for number in numbers), "; ".join(row.flags)])
    return records


def markdown(rows: Sequence[Sequence[str]]) -> str:
    head, *body = (f"| {' | '.join(row)} |" for row in rows)
    return "\n".join([head, "|" + "---|" * len(rows[0]), *body])


def _sorted(comparison: Comparison) -> list[Row]:
    return sorted(comparison.rows, key=lambda row: (row.modality, not row.yardstick))


def _name(comparison: Comparison, row: Row) -> str:
    return row.arm if len({arm.size for arm in comparison.arms}) == 1 else f"{row.arm} {row.size}"


def _cell(estimate: Estimate) -> str:
    return "" if math.isnan(estimate.value) else str(estimate)
