"""A callback that ends a run at a chosen hook and step by an exception or a signal, or spoils its numbers."""

import math
import os
import signal
from typing import Any

from lightning.pytorch import Callback

HOOKS = (
    "on_train_batch_start",
    "on_before_optimizer_step",
    "on_train_batch_end",
    "on_train_end",
    "on_validation_start",
    "on_validation_batch_end",
    "on_validation_end",
    "on_test_batch_end",
    "on_test_end",
    "setup",
)


class FailAt(Callback):
    """Fails at a hook when `trainer.global_step` equals `step`.

    Args:
        hook: one of HOOKS.
        step: value of `trainer.global_step` at the failure.
        how: "exception" or the name of a signal; "nan" sets all weights to NaN, "nan_data" the first image of the
            batch, and "huge_gradient" one weight's gradient to 1e30.
        rank: of the process that fails; all by default.
    """

    def __init__(self, hook: str, step: int, how: str = "exception", rank: int | None = None) -> None:
        self.step, self.how, self.rank = step, how, rank
        setattr(self, hook, self._fail)

    def _fail(self, trainer: Any, pl_module: Any, *arguments: Any, **__: Any) -> None:
        if trainer.global_step == self.step and self.rank in (None, trainer.global_rank):
            if self.how == "nan_data":
                arguments[0].by_modality["image"].tokens[0] = math.nan
                return
            if self.how == "huge_gradient":
                next(p for p in pl_module.model.parameters() if p.grad is not None).grad.fill_(1e30)
                return
            if self.how == "exception":
                raise RuntimeError("planned failure")
            if self.how == "nan":
                pl_module.model.load_state_dict({n: w * math.nan for n, w in pl_module.model.state_dict().items()})
                return
            os.kill(os.getpid(), getattr(signal, self.how))
