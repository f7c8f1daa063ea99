"""Whether runs may be compared: of the same data, budget and schedule, and in which modalities."""

from collections.abc import Mapping, Sequence
from typing import Any

from mot_lightning.analysis.compare.recorded import RecordedRun
from mot_lightning.config.merge import diff
from mot_lightning.errors import ConfigError

ASPECTS = ("data", "budget", "schedule")  # what must agree unless it is ignored


def check_comparable(runs: Sequence[RecordedRun], ignored: Sequence[str] = ()) -> None:
    """Raises ConfigError for the first two runs that differ in more than their model, learning rate and seed."""
    first, *others = runs
    for aspect in [aspect for aspect in ASPECTS if aspect not in ignored]:
        for run in others:
            if lines := diff(_aspect(first.config, aspect), _aspect(run.config, aspect)):
                raise ConfigError(
                    f"{first.folder} and {run.folder} differ in {lines[0]}"
                    + (f" and {len(lines) - 1} more" if len(lines) > 1 else "")
                    + f", wanted runs of one {aspect}, or --ignore {aspect}"
                )


def _aspect(config: Mapping[str, Any], aspect: str) -> dict[str, Any]:
    trainer, model, data = config["trainer"], config["model"], config["data"]
    of_data = {**(data.get("init_args") or {})}
    of_data.pop("num_workers", None)
    batch = {name: of_data.pop(name, None) for name in ("batch_size", "tokens")}
    if aspect == "data":
        scored = {name: trainer.get(name) for name in ("limit_val_batches", "limit_test_batches")}
        return {"data": {**data, "init_args": of_data}, "trainer": scored}
    if aspect == "budget":
        named = ("max_steps", "accumulate_grad_batches", "devices", "num_nodes")
        return {"trainer": {name: trainer.get(name) for name in named}, "data": batch}
    optimizer = {name: value for name, value in model["optimizer"].items() if name != "learning_rate"}
    return {"model": {"optimizer": optimizer, "reduction": model.get("reduction")}}


def common_modalities(runs: Sequence[RecordedRun]) -> tuple[list[str], list[str]]:
    """The modalities in which all runs can be compared, and a line on each of the others.

    Raises:
        ConfigError: there is none.
    """
    common, reasons = [], []
    for name in sorted({name for run in runs for name in run.modalities}):
        if without := [run for run in runs if name not in run.modalities]:
            reasons.append(f"{name} is left out: {without[0].folder} has no losses of it")
            continue
        of_run = [run.config["model"]["modalities"].get(name, {}) for run in runs]
        parts = [part for part in ("codec", "objective") if any(x.get(part) != of_run[0].get(part) for x in of_run)]
        if parts:
            reasons.append(f"{name} is left out: its {parts[0]} is not the same in all runs")
        else:
            common.append(name)
    if not common:
        raise ConfigError(f"the runs have no modality in common, wanted at least one: {'; '.join(reasons)}")
    return common, reasons
