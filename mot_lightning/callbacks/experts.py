"""How evenly experts are used: the fraction of training tokens that each one processed."""

from typing import Any

import torch
from lightning.pytorch import Callback


class ExpertUtilisation(Callback):
    """Logs `train/experts/<layer.tower>/<expert>` of a training batch every few steps, if the model has experts.

    Expert choice gives all experts the same fraction by construction.

    Args:
        every_n_steps: training steps between two rows.
    """

    def __init__(self, every_n_steps: int = 10) -> None:
        if every_n_steps < 1:
            raise ValueError(f"experts.every_n_steps is {every_n_steps}, wanted at least 1")
        self.every_n_steps = every_n_steps

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        step = trainer.global_step
        if not outputs["expert_visits"] or (batch_idx + 1) % trainer.accumulate_grad_batches:
            return  # one row a step, from its last batch
        if step == 1 or step % self.every_n_steps == 0 or step == trainer.max_steps:
            row: dict[str, float] = {}
            for name, counts in outputs["expert_visits"].items():
                local = torch.tensor(counts, dtype=torch.float32, device=trainer.strategy.root_device)
                *visits, tokens = trainer.strategy.reduce(local, reduce_op="sum").tolist()
                if tokens:
                    row |= {f"train/experts/{name}/{i}": n / tokens for i, n in enumerate(visits)}
            for logger in trainer.loggers if row else []:
                logger.log_metrics(row, step)
