"""The ledger as tables of a terminal, and remarks on what it might mislead to."""

from mot_lightning.analysis.ledger.ledger import Ledger
from mot_lightning.analysis.ledger.match import Match

UNITS = ("", "k", "M", "G", "T", "P", "E")


def short(number: float, base: int = 1000) -> str:
    """Three digits and a unit: 71012 is 71.0k."""
    power = 0
    while round(number, 1) >= base and power < len(UNITS) - 1:
        number, power = number / base, power + 1
    return f"{number:.1f}{UNITS[power]}" if power else f"{number:.0f}"


def tables_of(ledger: Ledger) -> list[list[list[str]]]:
    """The rows of each table, the first its head: FLOPs by modality, parameters by place, memory."""
    step = ledger.step
    head = ["modality", "active parameters", "tokens/step", "context", "forward FLOPs/token", "training", "/step"]
    flops = [
        [
            name,
            f"{cost.parameters:,}",
            f"{step.tokens[name]:,.0f}",
            f"{cost.context:.1f}",
            short(cost.flops),
            short(cost.training_flops),
            short(step.flops_of(name)),
        ]
        for name, cost in step.by_modality.items()
    ]
    parameters = [
        [group.name, f"{count:,}", f"{100 * count / ledger.parameters:.0f} %"] for group, count in ledger.groups.items()
    ]
    codecs = [[f"{name}: codec, not trained", f"{count:,}", ""] for name, count in ledger.codecs.items() if count]
    sizes = [[name, "unknown" if size is None else f"{size / 1e6:,.1f}"] for name, size in ledger.memory.items()]
    return [[head, *flops], [["parameters", "number", "share"], *parameters, *codecs], [["memory", "MB"], *sizes]]


def sums_of(ledger: Ledger) -> list[str]:
    """Of the whole model and of a whole step."""
    frozen = f", of which {ledger.frozen:,} are frozen" if ledger.frozen else ""
    less = " less the gradients of frozen weights" if ledger.frozen else ""
    return [
        f"parameters in all: {ledger.parameters:,}{frozen}",
        f"FLOPs of a training step, which is three forward passes{less}: {short(ledger.step.flops)}",
    ]


def remarks(ledger: Ledger) -> list[str]:
    """What a reader of the figures should know, a line each."""
    total, untied = short(ledger.parameters), ledger.share("untied")
    lines = []
    if 0 < untied < 0.5:
        part = short(untied * ledger.parameters)
        lines.append(f"{part} of {total} parameters are untied: {100 * untied:.0f} %, all that towers can differ in")
    if (share := ledger.share("embedding", "head")) > 0.5:
        lines.append(f"embeddings and heads are {100 * share:.0f} % of {total} parameters: the backbone is the rest")
    if ledger.recomputes:
        again = short(ledger.step.layer_flops)
        lines.append(f"activation checkpointing computes up to {again} FLOPs of a step again, which MFU does not count")
        lines.append("memory is without the activations of the one layer that is computed again")
    return lines


def time_lines(flops: float, peak: float, seconds: float | None) -> list[str]:
    """How long a step takes at the peak, and the MFU if its seconds are known.

    Args:
        flops: of a step.
        peak: FLOPs a second of all devices.
        seconds: of a step.
    """
    lines = [f"a step at the peak of {short(peak)} FLOPs/s: {1000 * flops / peak:.3g} ms"]
    if seconds is not None:
        lines.append(f"a step as it was: {1000 * seconds:.3g} ms, MFU {100 * flops / (seconds * peak):.2g} %")
    return lines


def match_lines(matched: Match, quantity: str) -> list[str]:
    """The dense transformer of a quantity, and the settings to copy."""
    target, reached = matched.target, matched.reached
    by = f"{100 * (reached / target - 1):+.1f} %"
    what = f"{quantity.replace('_', ' ').replace('flops', 'FLOPs')}: {short(reached)} of {short(target)} ({by})"
    return [
        f"dense with the same {what}",
        f"  {' '.join(matched.settings()[:2])}",
        f"  {' '.join(matched.settings()[2:])}",
    ]
