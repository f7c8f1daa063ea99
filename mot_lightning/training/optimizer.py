"""AdamW, its learning rate schedule, and weight averaging. Knows parameters, not losses."""

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import get_ema_multi_avg_fn


@dataclass(frozen=True)
class OptimizerSettings:
    """AdamW with linear warm-up, then a cosine to `min_lr_ratio` of the peak at the last step.

    Attributes:
        learning_rate: peak learning rate.
        betas: of AdamW.
        weight_decay: weight decay of matrices; vectors, such as gains of norms, have none.
        warmup_steps: steps of linear warm-up.
        min_lr_ratio: learning rate at the last step, as a fraction of the peak.
        ema_decay: decay of the averaged weights, which are used in validation, test and sampling; after n steps it is
            at most (1 + n) / (10 + n).
    """

    learning_rate: float = 3e-3
    betas: tuple[float, float] = (0.9, 0.98)
    weight_decay: float = 0.05
    warmup_steps: int = 50
    min_lr_ratio: float = 0.05
    ema_decay: float = 0.99

    def __post_init__(self) -> None:
        for name, requirement, fits in (  # NaN fails every check
            ("learning_rate", "a number above 0", 0 < self.learning_rate < math.inf),
            ("betas", "two numbers from 0 to below 1", all(0 <= beta < 1 for beta in self.betas)),
            ("weight_decay", "a number of 0 or more", 0 <= self.weight_decay < math.inf),
            ("warmup_steps", "0 or more", self.warmup_steps >= 0),
            ("min_lr_ratio", "a number from 0 to 1", 0 <= self.min_lr_ratio <= 1),
            ("ema_decay", "a number from 0 to below 1", 0 <= self.ema_decay < 1),
        ):
            if not fits:
                raise ValueError(f"optimizer.{name} is {getattr(self, name)}, wanted {requirement}")

    def lr_factor(self, step: int, steps: int) -> float:
        """The learning rate of a step, as a fraction of the peak."""
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        progress = min(1.0, (step - self.warmup_steps) / max(1, steps - self.warmup_steps))
        return self.min_lr_ratio + (1 - self.min_lr_ratio) * 0.5 * (1 + math.cos(math.pi * progress))

    def build(self, model: nn.Module, steps: int, fused: bool) -> tuple[AdamW, LambdaLR]:
        """The optimizer of a model's trainable weights, and its schedule; `fused` selects the fused kernel."""
        trained = [p for p in model.parameters() if p.requires_grad]
        matrices, vectors = [p for p in trained if p.dim() >= 2], [p for p in trained if p.dim() < 2]
        groups = [{"params": matrices, "weight_decay": self.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
        # None lets PyTorch update many weights in one kernel on CUDA (foreach); False would turn that off
        optimizer = AdamW(groups, lr=self.learning_rate, betas=self.betas, fused=fused or None)
        for weight in trained:  # AdamW creates state at a first gradient; a sharded checkpoint needs all of it to load
            step = torch.zeros((), device=weight.device if fused else "cpu")
            moments = {name: torch.zeros_like(weight) for name in ("exp_avg", "exp_avg_sq")}
            optimizer.state[weight] = {"step": step, **moments}
        return optimizer, LambdaLR(optimizer, lambda step: self.lr_factor(step, steps))

    def update_ema(self, ema_model: nn.Module, model: nn.Module, n: int) -> None:
        """Update averaged weights from a model after n steps."""
        decay = min(self.ema_decay, (1 + n) / (10 + n))
        get_ema_multi_avg_fn(decay)(list(ema_model.parameters()), list(model.parameters()), n)
