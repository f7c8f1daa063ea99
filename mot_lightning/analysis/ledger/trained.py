"""The ledger of a run that was trained: with the tokens and seconds that its steps took."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from mot_lightning.analysis.ledger.ledger import Ledger


def run_figures(ledger: Ledger, fit: Mapping[str, float]) -> dict[str, Any]:
    """The figures of `ledger.json`.

    Args:
        ledger: of batches of evaluation.
        fit: what training took, by the names in metrics.json; empty if there was none, and a step is then a batch of
            evaluation.
    """
    if size := fit.get("fit/activation_bytes"):
        ledger = replace(ledger, memory={**ledger.memory, "activations": int(size)})
    steps = fit.get("fit/steps", 0)
    if not steps:
        return ledger.figures()
    tokens = {name: fit.get(f"fit/{name}/tokens", 0) / steps for name in ledger.step.by_modality}
    step = replace(ledger.step, tokens=tokens)
    seconds = fit["fit/training_seconds"] / steps
    time = {"seconds_per_step": seconds, "training_flops_per_second": step.flops / seconds if seconds else None}
    return {**replace(ledger, step=step).figures(), "time": time}
