"""Metrics by modality: from the sums of a stage to named numbers, logged at the number of optimizer steps.

Names are stage/modality/quantity: `train/image/loss`, `val/text/bits_per_byte`.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mot_lightning.training.losses import Sums


def is_logged(trainer: Any, step: int) -> bool:
    """Whether an optimizer step is logged: the first, every `log_every_n_steps`-th, and the last of `max_steps`."""
    every = trainer.log_every_n_steps
    return bool(every) and (step == 1 or step % every == 0 or step == trainer.max_steps)


def log_row(module: Any, row: Mapping[str, float], step: int) -> None:
    """Write a row to all loggers, and make its values available to callbacks, as `self.log` does.

    Args:
        step: optimizer steps taken, the current one included. While training, `self.log` would write one less.
    """
    trainer = module.trainer
    fits = trainer.state.fn == "fit"
    if trainer.training:  # what `self.log` does in .3 ms a value
        trainer.callback_metrics.update({name: torch.tensor(value) for name, value in row.items()})
        if "train/loss" in row:
            trainer.progress_bar_metrics["loss"] = row["train/loss"]
    else:
        module.log_dict(row, logger=False if fits else None)  # what loggers get, Trainer.validate and test return
    if fits and not trainer.sanity_checking:
        for logger in trainer.loggers:
            logger.log_metrics(dict(row), step)


def learning_rates(optimizer: torch.optim.Optimizer) -> dict[str, float]:
    """Of a step: the common rate, if some weights follow it, and by name those of parts with settings of their own."""
    groups = optimizer.param_groups
    common = [group["lr"] for group in groups if "name" not in group and group["params"]]
    parts = {group["name"].rpartition("/")[0]: group["lr"] for group in groups if "name" in group}
    by_part = {f"train/{name}/learning_rate": rate for name, rate in parts.items()}
    return {"train/learning_rate": common[0], **by_part} if common else by_part


def reduced(trainer: Any, sums: Tensor) -> Sums:
    """Stacked sums (m, 5), added up over ranks; those of a single rank stay where they are, as MPS has no float64."""
    if trainer.world_size == 1:
        return Sums.unstack(sums.cpu())
    total = trainer.strategy.reduce(sums.clone().to(trainer.strategy.root_device), reduce_op="sum")
    return Sums.unstack(total.cpu())


def metrics_of(module: Any, sums: Sums, stage: str) -> dict[str, float]:
    """Named metrics from the sums of a stage; a modality without targets has none."""
    named: dict[str, float] = {}
    if (sums.targets > 0).any():
        named[f"{stage}/loss"] = float(module.loss_weights.total(sums.loss, sums.targets))
    for name, sums_of_modality in zip(module.modalities, sums.stack().tolist(), strict=True):
        loss, targets, content_loss, content_targets, content_bytes = sums_of_modality
        if targets:
            named[f"{stage}/{name}/loss"] = loss / targets
        if content_targets and module.model.objectives[name].discrete:
            for quantity, value in module.codecs[name].metrics(content_loss, content_targets, content_bytes).items():
                named[f"{stage}/{name}/{quantity}"] = value
    if module.data is not None and hasattr(module.data, "sources_by_name"):
        named |= metrics_by_source(module, stage)
        named |= module.data.metrics(stage)
    return {name: torch.tensor(value, dtype=torch.float32).item() for name, value in named.items()}  # as `self.log`


def metrics_by_source(module: Any, stage: str) -> dict[str, float]:
    """The losses of each of several sources, over all ranks: `train/source/NAME/MODALITY/loss`, and their total."""
    sources = module.data.sources_by_name
    if len(sources) == 1:
        return {}
    sums = module.step.by_source if stage == "train" else module._stage_sums.by_source
    if sums is None:  # this rank had no batch
        sums = torch.zeros(len(sources), len(module.modalities), 2, dtype=torch.float64)
    if module.trainer.world_size > 1:
        sums = module.trainer.strategy.reduce(sums.clone().to(module.trainer.strategy.root_device), reduce_op="sum")
    named = {}
    for name, (loss, targets) in zip(sources, (one.unbind(1) for one in sums.cpu()), strict=True):
        if (targets > 0).any():
            named[f"{stage}/source/{name}/loss"] = float(module.loss_weights.total(loss, targets))
        for modality, total, count in zip(module.modalities, loss.tolist(), targets.tolist(), strict=True):
            if count:
                named[f"{stage}/source/{name}/{modality}/loss"] = total / count
    return named


class StageSums:
    """The sums of a validation or test, added over its batches in float64."""

    def __init__(self) -> None:
        self.total = torch.zeros(())
        self.by_source: Tensor | None = None  # (sources, m, 2), if there are several

    def start(self, modalities: int) -> None:
        self.total, self.by_source = torch.zeros(modalities, 5, dtype=torch.float64), None

    def add(self, sums: Sums) -> Tensor:
        """Add a batch; returns its sums (m, 5)."""
        stacked = sums.stack()
        self.total = self.total + stacked.cpu().double()
        if sums.by_source is not None:
            by_source = sums.by_source.cpu().double()
            self.by_source = by_source if self.by_source is None else self.by_source + by_source
        return stacked
