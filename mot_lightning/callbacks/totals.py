"""What a training has taken so far: seconds, steps, tokens of each modality and memory, resumed runs included."""

import resource
import time
from collections import Counter
from typing import Any

import torch
from lightning.pytorch import Callback

from mot_lightning.analysis.ledger.activations import watch_forward
from mot_lightning.callbacks.clock import Clock
from mot_lightning.sequence import InterleavedBatch


class Totals(Callback):
    """Counts in `fit`, which checkpoints hold, by the names in `metrics.json`.

    `fit/seconds` is all time since the start, `fit/training_seconds` without validations, samples and checkpoints.
    `fit/<modality>/tokens` are of the batches of finished steps over all ranks; a control token is one of the modality
    that predicts it. `fit/activation_bytes` are those that the first batch keeps for its backward pass; they are absent
    where they would be others than the ledger's: on CUDA, compiled, or with sharded weights.
    """

    def __init__(self) -> None:
        self.fit: dict[str, float] = {}
        self.started = 0.0
        self.before: dict[str, float] = {}  # `fit` when the run began
        self.clock, self.step = Clock(), 0  # of training since then, and steps
        self.tokens, self.tokens_of_step = Counter[str](), Counter[str]()  # of this rank since then, and of one step

    def state_dict(self) -> dict[str, Any]:
        return {"fit": self.fit}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.fit = state_dict["fit"]

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        self.before, self.step, self.clock = self.fit, trainer.global_step, Clock()
        self.tokens, self.tokens_of_step = Counter(), Counter()
        self.clock.start()
        self.started = time.monotonic() - self.fit.get("fit/seconds", 0.0)

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self.clock.start()
        self._end_step(trainer)
        if "fit/activation_bytes" not in self.fit and _as_in_the_ledger(trainer, pl_module, batch):
            watch_forward(pl_module.model, batch, self._keep_activations)
        for name, part in getattr(batch, "by_modality", {}).items():
            self.tokens_of_step[name] += len(part.tokens)

    def _keep_activations(self, size: int) -> None:
        self.fit = {**self.fit, "fit/activation_bytes": size}

    def _end_step(self, trainer: Any) -> None:
        """Count the batches of a step once it is finished: a run that is resumed inside a step repeats them."""
        if trainer.global_step != self.step:
            self.tokens, self.tokens_of_step = self.tokens + self.tokens_of_step, Counter()
            self.step = trainer.global_step

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        self.clock.stop(pl_module.device)

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        self._measure(trainer, pl_module)
        checkpoint["callbacks"][self.state_key] = self.state_dict()  # Lightning took it before

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        self._measure(trainer, pl_module)

    def _measure(self, trainer: Any, pl_module: Any) -> None:
        if not self.started:
            return
        self.clock.stop(pl_module.device)
        self._end_step(trainer)
        kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        self.fit = {
            **{name: size for name, size in self.fit.items() if name == "fit/activation_bytes"},
            "fit/seconds": round(time.monotonic() - self.started, 2),
            "fit/training_seconds": round(self.before.get("fit/training_seconds", 0.0) + self.clock.seconds, 2),
            "fit/peak_rss_mb": round(max(kilobytes / 1024, self.fit.get("fit/peak_rss_mb", 0.0)), 1),
            "fit/steps": trainer.global_step,
        }
        for name in getattr(pl_module, "modalities", ()):  # a codec that is trained has none
            count = torch.tensor(self.tokens[name], device=trainer.strategy.root_device)
            over_ranks = int(trainer.strategy.reduce(count, reduce_op="sum"))
            self.fit[f"fit/{name}/tokens"] = over_ranks + self.before.get(f"fit/{name}/tokens", 0)


def _as_in_the_ledger(trainer: Any, pl_module: Any, batch: Any) -> bool:
    """Whether a step computes as the ledger assumes: eagerly on a CPU, with whole weights."""
    if not isinstance(batch, InterleavedBatch) or pl_module.device.type != "cpu":
        return False
    sharded = getattr(trainer.strategy, "device_mesh", None) is not None
    return not sharded and not pl_module.model.backbone.settings.compile
