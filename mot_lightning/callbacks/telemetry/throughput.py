"""Tokens and FLOPs a second while training, by modality, and what share of a device's peak they are."""

from collections import Counter
from typing import Any

import torch
from lightning.pytorch import Callback

from mot_lightning.analysis.ledger import costs
from mot_lightning.callbacks.clock import Clock
from mot_lightning.errors import require
from mot_lightning.training.metrics import is_logged, log_row


class Throughput(Callback):
    """Logs `train/<modality>/tokens_per_second` and `train/tflops_per_second`, with a peak also `train/mfu`.

    Over the steps since they were logged last, validations and samples left out, of all ranks. FLOPs are those of the
    ledger: of the model, without recomputation or padding, at the contexts of the first batch.

    Args:
        peak: TFLOP/s of one device, by its data sheet in the precision of the run; null logs no MFU.
    """

    def __init__(self, peak: float | None = None) -> None:
        require("Throughput.peak", peak, "a number above 0, or null", peak is None or peak > 0)
        self.peak = peak
        self.flops: dict[str, float] = {}  # of a token of each modality, forward and backward
        self.tokens: Counter[str] = Counter()
        self.clock = Clock()

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if not self.flops:
            with torch.random.fork_rng(devices=[]):
                self.flops = {name: cost.training_flops for name, cost in costs(pl_module.model, batch).items()}
        self.clock.start()

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        self.clock.stop(pl_module.device)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.tokens.update({name: len(part.tokens) for name, part in batch.by_modality.items()})
        step = trainer.global_step
        if trainer.fit_loop._should_accumulate() or not is_logged(trainer, step):
            return
        self.clock.stop(pl_module.device)
        counts = torch.tensor([float(self.tokens[name]) for name in self.tokens], device=pl_module.device)
        rates = (trainer.strategy.reduce(counts, reduce_op="sum") / max(self.clock.seconds, 1e-9)).tolist()
        row = {f"train/{name}/tokens_per_second": rate for name, rate in zip(self.tokens, rates, strict=True)}
        flops = sum(rate * self.flops.get(name, 0.0) for name, rate in zip(self.tokens, rates, strict=True))
        row["train/tflops_per_second"] = flops / 1e12
        if self.peak is not None:
            row["train/mfu"] = flops / 1e12 / self.peak / trainer.world_size
        log_row(pl_module, row, step)
        self.tokens, self.clock = Counter(), Clock()
