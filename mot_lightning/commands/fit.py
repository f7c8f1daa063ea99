"""`fit`: train, then test and print a table."""

import csv
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mot_lightning.commands.base import Command, Invocation, Option
from mot_lightning.errors import NotWritten, say

if TYPE_CHECKING:
    from mot_lightning.experiment.build import Experiment


class Fit(Command):
    name = "fit"
    summary = "train, then test and print a table"
    needs_checkpoint = False
    checkpoint_help = "resume from a checkpoint, in a new run folder"
    options = (
        Option("init_from", "FILE", "fine-tune: start from a checkpoint's weights, codecs and settings, any of\n"
               "                           which may change", Path),
    )  # fmt: skip
    examples = (
        ("--model.modalities.image.objective=Diffusion", "of latents; also FlowMatching, NextLatent, Regression"),
        (
            "--model.modalities.speech.objective=NextToken",
            "of ids; also MaskedToken, for a fixed length",
        ),
        ("--model.modalities.image.weight=5", "its weight in the loss"),
        ("--model.modalities.speech=null", "leave a modality out"),
        ("--model.backbone.dim=256", "width; also depth, heads, ffn_dim, dropout, towers"),
        ("--model.optimizer.learning_rate=1e-3", "also warmup_steps, weight_decay, ema_decay"),
        ("--data.batch_size=64", "documents in a batch; also image_root, speech_root"),
        ("--trainer.max_steps=3000", "and any other argument of Lightning's Trainer"),
        ("--report.prompts=20", "prompts of each task in the report, for a quick one; by default all"),
        ("--report.guidance=3", "classifier-free guidance of the guided figures"),
        ("--report.temperature=0.3", "of sampled ids in the report: lower is more accurate, less diverse"),
        ("--seed=1", "of weights, data and noise"),
        ("--experiment=NAME", "the run folder is runs/NAME/0, 1, 2, ..."),
    )

    def run(self, invocation: Invocation) -> None:
        from mot_lightning.commands.run import open_run

        with open_run(self.name, invocation) as run:
            if run is not None:
                _fit(run.experiment, run.checkpoint, run.checkpoint_path, run.folder)


def _fit(experiment: "Experiment", checkpoint: dict[str, Any] | None, path: Path | None, folder: Path) -> None:
    from mot_lightning.callbacks import Checkpoints
    from mot_lightning.signals import Interrupted
    from mot_lightning.training.divergence import Diverged

    module, data = experiment.module, experiment.data
    trainer: Any = experiment.trainer
    if checkpoint is not None and path is not None:
        _copy_rows(trainer, checkpoint, path)
        _report_learning_rate(experiment, checkpoint)
    last = folder / "checkpoints" / "last.ckpt"
    finished = checkpoint is not None and checkpoint["global_step"] >= trainer.max_steps > -1
    if checkpoint is not None and finished:
        say(f"{path} is at step {checkpoint['global_step']} of {trainer.max_steps}: nothing is left to train")
    try:
        trainer.fit(module, data, ckpt_path=path, weights_only=True)
    except Interrupted as interrupted:
        resume = f"; resume with: python -m mot_lightning fit --ckpt_path {last}" if last.is_file() else ""
        say(f"\n{interrupted}{resume}", file=sys.stderr)
        raise SystemExit(128 + interrupted.number) from None
    except Diverged as diverged:
        kept = f"its last good checkpoint is {last}" if last.is_file() else "it had no checkpoint yet"
        say(f"\nerror: {diverged}; {kept}", file=sys.stderr)
        raise SystemExit(1) from None
    except NotWritten as error:
        kept = f"; its last good checkpoint is {last}" if last.is_file() else ""
        say(f"\nerror: {error}{kept}", file=sys.stderr)
        raise SystemExit(1) from None
    if finished:  # Lightning then trains nothing and calls no hook, also if the last validation was cut short
        trainer.validate(module, data, verbose=False)
        next(callback for callback in trainer.callbacks if isinstance(callback, Checkpoints)).update(trainer)
    try:
        trainer.test(module, data, verbose=False)
    except Interrupted as interrupted:
        say(f"\n{interrupted}; test with: python -m mot_lightning test --ckpt_path {last}", file=sys.stderr)
        raise SystemExit(128 + interrupted.number) from None


def _copy_rows(trainer: Any, checkpoint: dict[str, Any], path: Path) -> None:
    """Begin the new metrics.csv with the old run's rows."""
    from mot_lightning.runs.best_effort import best_effort
    from mot_lightning.runs.find import run_folder_of

    if trainer.fast_dev_run:
        return
    old = run_folder_of(path)
    if old and (old / "metrics.csv").is_file():
        try:
            with best_effort("metrics.csv", NotWritten):
                trainer.loggers[0].begin_with(old / "metrics.csv", checkpoint["global_step"])
        except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:  # it was edited, cut, or locked
            reason = " ".join(str(error).split())
            say(f"{old / 'metrics.csv'} is damaged from here on, its other rows are kept: {reason}", file=sys.stderr)
    else:
        missing = f"{old / 'metrics.csv'} is missing" if old else f"{path} is in no run folder"
        say(f"{missing}: the new metrics.csv begins at step {checkpoint['global_step']}", file=sys.stderr)


def _report_learning_rate(experiment: "Experiment", checkpoint: dict[str, Any]) -> None:
    """Print how the learning rate changes at the start, if the schedule now has another number of steps."""
    from mot_lightning.module import MoTModule

    module, step = experiment.module, checkpoint["global_step"]
    old, new = checkpoint["config"]["trainer"].get("max_steps", -1), experiment.trainer.max_steps
    if isinstance(module, MoTModule) and isinstance(module.optimizer.schedule, str) and min(old, new) > 0:
        settings = module.optimizer
        before, after = (settings.learning_rate * settings.lr_factor(step, steps) for steps in (old, new))
        if before != after:
            say(
                f"learning rate: the {settings.schedule} schedule ends at step {new} instead of {old}, "
                f"so at step {step} the rate is {after:.3g} instead of {before:.3g}"
            )
