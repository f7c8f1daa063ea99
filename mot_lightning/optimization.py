"""How weights move: AdamW, its schedule, and the averaged weights that follow. Knows parameters; nothing of losses."""

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import get_ema_multi_avg_fn


@dataclass(frozen=True)
class Optimization:
    """AdamW with linear warm-up, then a cosine to `final` of the peak at the last step.

    Attributes:
        learning_rate: at the peak.
        betas: of AdamW.
        weight_decay: of matrices; vectors and norms do not decay.
        warmup: steps.
        final: learning rate at the last step, as a share of the peak.
        ema: decay of the averaged weights that are validated, tested and sampled; warms up as (1 + n) / (10 + n).
    """

    learning_rate: float = 3e-3
    betas: tuple[float, float] = (0.9, 0.98)
    weight_decay: float = 0.05
    warmup: int = 50
    final: float = 0.05
    ema: float = 0.99

    def __post_init__(self) -> None:
        for name, wanted, fits in (  # what is no number fits nowhere
            ("learning_rate", "a number above 0", 0 < self.learning_rate < math.inf),
            ("betas", "two shares from 0 to below 1", all(0 <= beta < 1 for beta in self.betas)),
            ("weight_decay", "a number of 0 or more", 0 <= self.weight_decay < math.inf),
            ("warmup", "0 or more", self.warmup >= 0),
            ("final", "a share from 0 to 1", 0 <= self.final <= 1),
            ("ema", "a decay from 0 to below 1", 0 <= self.ema < 1),
        ):
            if not fits:
                raise ValueError(f"optimization.{name} is {getattr(self, name)}, wanted {wanted}")

    def share(self, step: int, steps: int) -> float:
        """Learning rate of a step as a share of the peak."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        done = min(1.0, (step - self.warmup) / max(1, steps - self.warmup))
        return self.final + (1 - self.final) * 0.5 * (1 + math.cos(math.pi * done))

    def build(self, model: nn.Module, steps: int, fused: bool) -> tuple[AdamW, LambdaLR]:
        """The optimizer of a model's trained weights, and its schedule over so many steps."""
        trained = [p for p in model.parameters() if p.requires_grad]
        matrices, vectors = [p for p in trained if p.dim() >= 2], [p for p in trained if p.dim() < 2]
        groups = [{"params": matrices, "weight_decay": self.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
        # False would move one weight after another; with None, PyTorch moves many at once on CUDA
        optimizer = AdamW(groups, lr=self.learning_rate, betas=self.betas, fused=fused or None)
        for weight in trained:  # AdamW would wait for a gradient, but all are wanted to load in slices
            step = torch.zeros((), device=weight.device if fused else "cpu")
            moments = {name: torch.zeros_like(weight) for name in ("exp_avg", "exp_avg_sq")}
            optimizer.state[weight] = {"step": step, **moments}
        return optimizer, LambdaLR(optimizer, lambda step: self.share(step, steps))

    def average(self, average: nn.Module, model: nn.Module, n: int) -> None:
        """Move averaged weights towards a model's, after n steps."""
        decay = min(self.ema, (1 + n) / (10 + n))
        get_ema_multi_avg_fn(decay)(list(average.parameters()), list(model.parameters()), n)
