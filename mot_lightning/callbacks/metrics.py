"""Metrics by modality: from the sums and counts of each step to named numbers, exact over batches and ranks.

Logged names are stage/modality/quantity: `train/image/loss`, `val/text/bits_per_byte`.
"""

from typing import Any

import torch
from lightning.pytorch import Callback
from torch import Tensor

from mot_lightning.module import MoTModule
from mot_lightning.training.divergence import check_losses
from mot_lightning.training.losses import Sums


def metrics_of(module: MoTModule, sums: Sums, stage: str) -> dict[str, float]:
    """Named metrics from the sums of a stage; a modality without targets has none."""
    named: dict[str, float] = {}
    if (sums.targets > 0).any():
        named[f"{stage}/loss"] = float(module.loss_weights.total(sums.loss, sums.targets))
    rows = sums.stack().tolist()
    for name, (loss, targets, content_loss, content_targets, content_bytes) in zip(
        module.modalities, rows, strict=True
    ):
        if targets:
            named[f"{stage}/{name}/loss"] = loss / targets
        if content_targets and module.model.objectives[name].discrete:
            for quantity, value in module.codecs[name].metrics(content_loss, content_targets, content_bytes).items():
                named[f"{stage}/{name}/{quantity}"] = value
    return named


class ModalityMetrics(Callback):
    """Logs the metrics of a training batch every few steps, and of the validation and test splits.

    Rows go directly to the loggers: `self.log` costs about half a millisecond a call even when nothing is written.

    Args:
        every_n_steps: training steps between two rows.
    """

    def __init__(self, every_n_steps: int = 10) -> None:
        if every_n_steps < 1:
            raise ValueError(f"metrics.every_n_steps is {every_n_steps}, wanted at least 1")
        self.every_n_steps = every_n_steps
        self.total: Tensor | None = None

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        step = trainer.global_step
        if (batch_idx + 1) % trainer.accumulate_grad_batches:
            return  # one row a step, from its last batch
        if step == 1 or step % self.every_n_steps == 0 or step == trainer.max_steps:
            learning_rate = trainer.optimizers[0].param_groups[0]["lr"]
            row = metrics_of(pl_module, self._reduced(trainer, outputs["sums"].stack()), "train")
            self._write(trainer, {**row, "train/learning_rate": learning_rate})
            check_losses(row, step)
            for bar in [trainer.progress_bar_callback] if trainer.progress_bar_callback else []:
                bar.show({"loss": row["train/loss"]})  # metrics.csv has the rest

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        self.total = torch.zeros(len(pl_module.modalities), 5, dtype=torch.float64)

    def on_test_start(self, trainer: Any, pl_module: Any) -> None:
        self.on_validation_start(trainer, pl_module)

    def on_validation_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, *_: Any) -> None:
        assert self.total is not None
        self.total += outputs.cpu().double()

    def on_test_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, *_: Any) -> None:
        self.on_validation_batch_end(trainer, pl_module, outputs)

    def on_validation_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        row = metrics_of(pl_module, self._reduced(trainer, self.total), "val")
        pl_module.log_dict(row, logger=False)  # for callbacks that monitor a metric
        if not trainer.sanity_checking:
            self._write(trainer, row)
            for logger in trainer.loggers:
                logger.save()
        if trainer.state.fn == "fit":
            check_losses(row, trainer.global_step)

    def on_test_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        pl_module.log_dict(metrics_of(pl_module, self._reduced(trainer, self.total), "test"), logger=False)

    @staticmethod
    def _reduced(trainer: Any, sums: Tensor | None) -> Sums:
        """Stacked sums (m, 5), added up over ranks."""
        assert sums is not None
        reduced = trainer.strategy.reduce(sums.clone().to(trainer.strategy.root_device), reduce_op="sum")
        return Sums.unstack(reduced.cpu())

    @staticmethod
    def _write(trainer: Any, row: dict[str, float]) -> None:
        for logger in trainer.loggers:
            logger.log_metrics(row, trainer.global_step)
