"""The overhead of the trainer over a bare training loop: progress bar, logging, callbacks and Lightning itself.

    python benchmarks/trainer.py [--json FILE] [--threads N] [--quick]

The model is conf/default.yaml with one narrow layer and one document a batch, so that the overhead is measurable
beside a step. Both do the same forward, backward, clipping, AdamW, schedule and averaging on the same batches, in
turns, in one process. `lightning_ms` is what Lightning's loop costs a module of one weight without callbacks.
"""

import contextlib
import io
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch import Callback
from paired import begin, seconds, write
from torch import Tensor
from torch.utils.data import TensorDataset

from mot_lightning.experiment.build import Experiment, build
from mot_lightning.experiment.resolve import resolve
from mot_lightning.experiment.startup import quiet

BLOCK = 20  # steps timed in one piece: two logged ones in each


class Alternating(Callback):
    """Times blocks of steps of the trainer and of a bare loop in turns, so that a slower minute slows both."""

    def __init__(self, bare_block: Callable[[], None]) -> None:
        self.bare_block = bare_block
        self.pairs: list[tuple[float, float]] = []  # milliseconds a step: of the trainer, of the bare loop

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        if trainer.global_step % BLOCK:
            return
        end = time.perf_counter()
        self.bare_block()
        bare = time.perf_counter() - end
        if trainer.global_step > BLOCK:  # the first block of both is the warm-up
            self.pairs.append((1000 * (end - self.start) / BLOCK, 1000 * bare / BLOCK))
        self.start = time.perf_counter()


def built(steps: int, folder: str) -> Experiment:
    settings = {
        "model.backbone.dim": "32",
        "model.backbone.ffn_dim": "64",
        "model.backbone.heads": "2",
        "model.backbone.depth": "1",
        "data.batch_size": "1",
        "trainer.max_steps": str(steps),
        "trainer.limit_val_batches": "0",
        "samples.prompts": "0",
    }
    return build(resolve([], list(settings.items())), [], Path(tempfile.mkdtemp(dir=folder)))


def bare_loop(steps: int, folder: str) -> Callable[[], None]:
    """A function that trains another `BLOCK` steps without the trainer."""
    experiment = built(steps, folder)
    module, data = experiment.module, experiment.data
    module.trainer = experiment.trainer
    module.prepare(data)
    module.train()
    configured = module.configure_optimizers()
    optimizer, schedule = configured["optimizer"], configured["lr_scheduler"]["scheduler"]
    numbered = enumerate(data.train_dataloader())

    def block() -> None:
        for number, batch in itertools.islice(numbered, BLOCK):
            loss = module.training_step(batch, number)["loss"]
            optimizer.zero_grad()
            loss.backward()
            module.on_before_optimizer_step(optimizer)
            torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            optimizer.step()
            module.update_ema(number + 1)
            schedule.step()

    return block


class OneWeight(lightning.LightningModule):
    """A module whose steps cost nothing worth counting."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def training_step(self, batch: Tensor) -> Tensor:
        return self.weight.sum()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def lightning_alone(steps: int, folder: str) -> Callable[[], None]:
    """A function that trains `OneWeight` for some steps with a plain trainer."""
    off = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    options: dict[str, Any] = dict.fromkeys(off, False)
    trainer = lightning.Trainer(max_steps=steps, default_root_dir=folder, **options)
    batches: Any = torch.utils.data.DataLoader(TensorDataset(torch.ones(steps)))
    return lambda: trainer.fit(OneWeight(), batches)


def main() -> None:
    arguments = begin(__doc__)
    quiet()
    steps = BLOCK * (3 if arguments.quick else 121)
    bar = contextlib.redirect_stdout(io.StringIO())
    with tempfile.TemporaryDirectory() as folder, bar:
        experiment: Any = built(steps, folder)
        alternating = Alternating(bare_loop(steps, folder))
        experiment.trainer.callbacks.append(alternating)
        experiment.trainer.fit(experiment.module, experiment.data)
        alone = [1000 * seconds(lightning_alone(steps, folder)) / steps for _ in range(1 if arguments.quick else 3)]
    differences = [a - b for a, b in alternating.pairs]
    figures = {
        "trainer_overhead_ms": statistics.median(differences),
        # 1.25: the standard error of a median is that of a mean, larger by sqrt(pi / 2)
        "standard_error_ms": 1.25 * statistics.stdev(differences) / len(differences) ** 0.5,
        "lightning_ms": statistics.median(alone),
        "bare_step_ms": statistics.median(b for _, b in alternating.pairs),
    }
    for name, value in figures.items():
        print(f"{name:<28} {value:8.3f}")
    write(figures, arguments.json)


if __name__ == "__main__":
    main()
