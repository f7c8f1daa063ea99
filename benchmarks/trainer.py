"""What the trainer costs a step, over a bare loop that learns the same: bar, logging, callbacks and Lightning's own.

    python benchmarks/trainer.py [--json FILE] [--threads N] [--quick]

The model is conf/default.yaml at a small width, so that a step is short and the difference is not lost in it. Both do
the same forward, backward, clipping, AdamW, schedule and averaging on the same batches, in turns, in one process.
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

from mot_lightning.cli import settle
from mot_lightning.commands import quiet
from mot_lightning.config import default_config, merge, read_yaml
from mot_lightning.lightning_cli import MoTCLI, instantiate

WARM = 20  # steps before the clock starts


class Clock(Callback):
    """Seconds from the end of the warm-up to the end of the last step."""

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        if trainer.global_step == WARM:
            self.start = time.perf_counter()
        self.seconds = time.perf_counter() - getattr(self, "start", 0.0)


def built(steps: int, folder: str) -> MoTCLI:
    small = {
        "model": {"backbone": {"dim": 32, "ffn_dim": 64, "heads": 2}},
        "data": {"batch_size": 8},
        "trainer": {"max_steps": steps, "limit_val_batches": 0},
        "samples": {"prompts": 0},
    }
    return instantiate(settle(merge(read_yaml(default_config()), small), []), [], Path(tempfile.mkdtemp(dir=folder)))


def by_trainer(steps: int, folder: str) -> float:
    cli, clock = built(steps, folder), Clock()
    cli.trainer.callbacks.append(clock)
    cli.trainer.fit(cli.model, cli.datamodule)
    return clock.seconds / (steps - WARM)


def by_hand(steps: int, folder: str) -> float:
    cli = built(steps, folder)
    module, data = cli.model, cli.datamodule
    module.trainer = cli.trainer
    cli.trainer.datamodule = data
    data.setup("fit")
    module.setup("fit")
    module.train()
    parts = module.configure_optimizers()
    optimizer, schedule = parts["optimizer"], parts["lr_scheduler"]["scheduler"]
    batches, start = iter(data.train_dataloader()), 0.0
    for number in range(steps):
        if number == WARM:
            start = time.perf_counter()
        loss = module.training_step(next(batches), number)["loss"]
        optimizer.zero_grad()
        loss.backward()
        module.on_before_optimizer_step(optimizer)
        torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
        module.follow(number + 1)
        schedule.step()
    return (time.perf_counter() - start) / (steps - WARM)


def main() -> None:
    arguments = begin(__doc__)
    quiet()
    steps, rounds = (WARM + 20, 1) if arguments.quick else (WARM + 200, 7)
    pairs = []
    bar = contextlib.redirect_stdout(io.StringIO())
    with tempfile.TemporaryDirectory() as folder, bar:
        for number in range(rounds):
            turns = (by_trainer, by_hand) if number % 2 else (by_hand, by_trainer)
            taken = {run: run(steps, folder) for run in turns}
            pairs.append((taken[by_trainer], taken[by_hand]))
    figures = {
        "trainer_overhead_ms": statistics.median(1000 * (a - b) for a, b in pairs),
        "bare_step_ms": statistics.median(1000 * b for _, b in pairs),
    }
    for name, value in figures.items():
        print(f"{name:<28} {value:8.3f}")
    write(figures, arguments.json)


if __name__ == "__main__":
    main()
