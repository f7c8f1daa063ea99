"""Tokens and FLOPs a second while training, by modality, and what share of a device's peak they are."""

from collections import Counter
from typing import Any

import torch
from lightning.pytorch import Callback

from mot_lightning.analysis.ledger import costs
from mot_lightning.callbacks.clock import Clock
from mot_lightning.errors import require
from mot_lightning.training.metrics import is_logged, log_row
from mot_lightning.training.sharding import summon_full_params


class Throughput(Callback):
    """Logs `train/<modality>/tokens_per_second` and `train/tflops_per_second`, with a peak also `train/mfu`.

    Over the steps since they were logged last, validations and samples left out, of all ranks. FLOPs are those of the
    ledger: of the model, without recomputation or padding, at the contexts of the first batch that has the modality.
    They are not logged while rank 0 has had no batch of a modality that others had; with sharded weights, its first
    batch has to have all modalities.

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
        self.clock.start()

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        self.clock.stop(pl_module.device)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self._count(trainer, pl_module, batch)
        step = trainer.global_step
        if trainer.fit_loop._should_accumulate() or not is_logged(trainer, step):
            return
        self.clock.stop(pl_module.device)
        counts = torch.tensor([float(self.tokens[name]) for name in self.tokens], device=pl_module.device)
        rates = (trainer.strategy.reduce(counts, reduce_op="sum") / max(self.clock.seconds, 1e-9)).tolist()
        row = {f"train/{name}/tokens_per_second": rate for name, rate in zip(self.tokens, rates, strict=True)}
        passed = [(name, rate) for name, rate in zip(self.tokens, rates, strict=True) if rate]
        if all(name in self.flops for name, _ in passed):
            tflops = sum(rate * self.flops[name] for name, rate in passed) / 1e12
            row["train/tflops_per_second"] = tflops
            if self.peak is not None:
                row["train/mfu"] = tflops / self.peak / trainer.world_size
        log_row(pl_module, row, step)
        self.tokens, self.clock = Counter(), Clock()

    def _count(self, trainer: Any, pl_module: Any, batch: Any) -> None:
        """Count the tokens of a batch, and what one of a modality costs that is new in it."""
        counts = {name: len(part.tokens) for name, part in batch.by_modality.items()}
        self.tokens.update(counts)
        new = {name for name, count in counts.items() if count} - {*self.flops}
        sharded = getattr(trainer.strategy, "device_mesh", None) is not None  # all ranks gather weights together, once
        if new and not (sharded and self.flops):
            self.clock.stop(pl_module.device)
            with torch.random.fork_rng(devices=[]), summon_full_params(pl_module.model):
                by_modality = costs(pl_module.model, batch)
            self.flops |= {name: by_modality[name].training_flops for name in new}
