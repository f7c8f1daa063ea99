"""The overhead of the trainer over a bare training loop: progress bar, logging, callbacks and Lightning itself.

    python benchmarks/trainer.py [--json FILE] [--threads N] [--quick]

The model is conf/default.yaml at a small width, so that the overhead is measurable beside a step. Both do the same
forward, backward, clipping, AdamW, schedule and averaging on the same batches, in turns, in one process.
"""

import contextlib
import io
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback
from paired import begin, write

from mot_lightning.experiment.build import Experiment, build
from mot_lightning.experiment.resolve import resolve
from mot_lightning.experiment.startup import quiet

WARM_UP = 20  # steps before the clock starts


class Clock(Callback):
    """Seconds from the end of the warm-up to the end of the last step."""

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        if trainer.global_step == WARM_UP:
            self.start = time.perf_counter()
        self.seconds = time.perf_counter() - getattr(self, "start", 0.0)


def built(steps: int, folder: str) -> Experiment:
    settings = {
        "model.backbone.dim": "32",
        "model.backbone.ffn_dim": "64",
        "model.backbone.heads": "2",
        "data.batch_size": "8",
        "trainer.max_steps": str(steps),
        "trainer.limit_val_batches": "0",
        "samples.prompts": "0",
    }
    return build(resolve([], list(settings.items())), [], Path(tempfile.mkdtemp(dir=folder)))


def by_trainer(steps: int, folder: str) -> float:
    experiment, clock = built(steps, folder), Clock()
    experiment.trainer.callbacks.append(clock)
    experiment.trainer.fit(experiment.module, experiment.data)
    return clock.seconds / (steps - WARM_UP)


def by_hand(steps: int, folder: str) -> float:
    experiment = built(steps, folder)
    module, data = experiment.module, experiment.data
    module.trainer = experiment.trainer
    module.prepare(data)
    module.train()
    configured = module.configure_optimizers()
    optimizer, schedule = configured["optimizer"], configured["lr_scheduler"]["scheduler"]
    batches, start = iter(data.train_dataloader()), 0.0
    for number in range(steps):
        if number == WARM_UP:
            start = time.perf_counter()
        loss = module.training_step(next(batches), number)["loss"]
        optimizer.zero_grad()
        loss.backward()
        module.on_before_optimizer_step(optimizer)
        torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
        module.update_ema(number + 1)
        schedule.step()
    return (time.perf_counter() - start) / (steps - WARM_UP)


def main() -> None:
    arguments = begin(__doc__)
    quiet()
    steps, rounds = (WARM_UP + 20, 1) if arguments.quick else (WARM_UP + 200, 7)
    pairs = []
    bar = contextlib.redirect_stdout(io.StringIO())
    with tempfile.TemporaryDirectory() as folder, bar:
        for number in range(rounds):
            turns = (by_trainer, by_hand) if number % 2 else (by_hand, by_trainer)
            elapsed = {run: run(steps, folder) for run in turns}
            pairs.append((elapsed[by_trainer], elapsed[by_hand]))
    figures = {
        "trainer_overhead_ms": statistics.median(1000 * (a - b) for a, b in pairs),
        "bare_step_ms": statistics.median(1000 * b for _, b in pairs),
    }
    for name, value in figures.items():
        print(f"{name:<28} {value:8.3f}")
    write(figures, arguments.json)


if __name__ == "__main__":
    main()
