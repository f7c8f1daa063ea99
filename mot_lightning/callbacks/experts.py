"""How evenly experts are used: the fraction of training tokens that each one processed."""

from typing import Any

import torch
from lightning.pytorch import Callback

from mot_lightning.training.metrics import is_logged, log_row


class ExpertUtilisation(Callback):
    """Logs `train/experts/<layer.tower>/<expert>` of a training batch with the losses, if the model has experts.

    Expert choice gives all experts the same fraction by construction.
    """

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        step = trainer.global_step
        if not outputs["expert_visits"] or trainer.fit_loop._should_accumulate():
            return  # one row a step, from its last batch
        if is_logged(trainer, step):
            row: dict[str, float] = {}
            for name, counts in outputs["expert_visits"].items():
                local = torch.tensor(counts, dtype=torch.float32, device=trainer.strategy.root_device)
                *visits, tokens = trainer.strategy.reduce(local, reduce_op="sum").tolist()
                if tokens:
                    row |= {f"train/experts/{name}/{i}": n / tokens for i, n in enumerate(visits)}
            if row:
                log_row(pl_module, row, step)
