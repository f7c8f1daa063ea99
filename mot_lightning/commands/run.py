"""Shared by commands with a Trainer: builds and checks the experiment, and creates its run folder."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from mot_lightning.commands.base import Invocation
from mot_lightning.errors import ConfigError, say
from mot_lightning.experiment import checks, startup
from mot_lightning.experiment.build import Experiment, build
from mot_lightning.experiment.ranks import ended_together
from mot_lightning.experiment.resolve import resolve
from mot_lightning.module import MoTModule
from mot_lightning.parameters import frozen_parameters, total_parameters
from mot_lightning.runs import folder as run_folder
from mot_lightning.runs import slurm
from mot_lightning.runs.best_effort import started
from mot_lightning.runs.checkpoint import read_checkpoint
from mot_lightning.runs.compatibility import PRETRAINED, check_weights
from mot_lightning.runs.find import LAST
from mot_lightning.signals import interruptible
from mot_lightning.training.initial_weights import initialise_from, restore_codecs


@dataclass
class Run:
    """An experiment, ready to run.

    Attributes:
        folder: the run folder, which contains config.yaml.
        checkpoint: the checkpoint that it starts from, if any.
        checkpoint_path: its file.
    """

    experiment: Experiment
    folder: Path
    checkpoint: dict[str, Any] | None
    checkpoint_path: Path | None


@contextmanager
def open_run(command: str, invocation: Invocation) -> Iterator[Run | None]:
    """The run of a command line; None if the config is only printed.

    Raises:
        ConfigError: bad input, before anything is written.
    """
    startup.quiet()
    startup.keep_freed_memory()
    with interruptible(), startup.quiet_threads(), ExitStack() as stack:
        path = invocation.ckpt_path
        checkpoint = read_checkpoint(path) if path else None
        init_from = invocation.options.get("init_from")
        start = read_checkpoint(init_from, "--init_from") if init_from else None
        if command == "fit" and checkpoint and "optimizer_states" not in checkpoint:
            raise ConfigError(
                f"--ckpt_path {path} holds weights only, wanted a checkpoint with the state of its "
                "optimizer; --init_from starts from weights"
            )
        if checkpoint and start:
            raise ConfigError("--ckpt_path and --init_from are both given, wanted one of them")
        base = checkpoint or start
        config = resolve(
            invocation.configs,
            invocation.settings,
            invocation.allow,
            base and base["config"],
            may_change=not checkpoint,
        )
        if start and config["model"].get(PRETRAINED):
            raise ConfigError("--init_from and model.pretrained are both given, wanted one of them")
        if invocation.print_config:
            print(yaml.safe_dump(build(config, invocation.allow).config, sort_keys=False), end="")
            yield None
            return
        # a fast_dev_run leaves nothing behind
        temporary = config["trainer"].get("fast_dev_run") and stack.enter_context(TemporaryDirectory())
        while True:
            chosen = run_folder.choose(config.get("runs", "runs"), config.get("experiment", "default"))
            begun = None if temporary or command != "fit" else slurm.begun(chosen.parent, vars(invocation))
            folder = Path(temporary) if temporary else begun or chosen
            if begun and (begun / "checkpoints" / LAST).is_file():
                path, start = begun / "checkpoints" / LAST, None
                checkpoint = read_checkpoint(path, "the restarted job's")
                config["model"].pop(PRETRAINED, None)
            experiment = build(config, invocation.allow, folder)
            if checkpoint is not None and path is not None:
                check_weights(experiment.module, checkpoint, f"--ckpt_path {path}")
                if isinstance(experiment.module, MoTModule):
                    restore_codecs(experiment.module, checkpoint)
                    if sources := checkpoint["config"]["model"].get(PRETRAINED):  # for its card; they are not read
                        experiment.config["model"][PRETRAINED] = sources
            if start is not None:
                _initialise(experiment, start, str(init_from))
            checks.check(experiment, command)
            if command == "fit" and checkpoint is not None:
                _check_steps(experiment.trainer, checkpoint["global_step"])
            # if another run took the number in the meantime, take the next
            rank_zero = experiment.trainer.is_global_zero
            if begun or temporary or not rank_zero or run_folder.create(folder, experiment.config):
                break
        if command == "fit" and rank_zero and not temporary:
            slurm.record(folder, vars(invocation))
            say(f"run:     {folder}", *_frozen(experiment.module, bool(checkpoint or start)), flush=True)
        with ended_together(experiment.trainer.strategy), run_folder.announced(folder):
            experiment.trainer.loggers = started(experiment.trainer.loggers)
            yield Run(experiment, folder, checkpoint, path)


def _check_steps(trainer: Any, done: int) -> None:
    if -1 < trainer.max_steps < done and not trainer.fast_dev_run:
        raise ConfigError(f"trainer.max_steps is {trainer.max_steps}, wanted at least {done}, the checkpoint's step")


def _frozen(module: Any, trained: bool) -> list[str]:
    """A line on the parts that do not learn, if there are any.

    Args:
        trained: whether the weights come from a checkpoint.
    """
    if not isinstance(module, MoTModule) or not (frozen := frozen_parameters(module.model)):
        return []
    parts = sorted({part.name for part in module.optimizer.parts_of(module.model).values() if part.settings.freeze})
    at_random = "" if trained or module.config["model"].get(PRETRAINED) else ", at their random start"
    return [f"frozen:  {', '.join(parts)}; {frozen:,} of {total_parameters(module.model):,} parameters{at_random}"]


def _initialise(experiment: Experiment, start: dict[str, Any], path: str) -> None:
    """Start the module from a checkpoint's weights, and say which weights it does not have."""
    if not isinstance(experiment.module, MoTModule) or "codecs" not in start:
        raise ConfigError("--init_from starts a model from a model's checkpoint, wanted no codec")
    new = initialise_from(experiment.module, start)
    others = f" and {len(new) - 1} more" if len(new) > 1 else ""
    say(f"weights from {path}" + (f", but a random start for {new[0]}{others}" if new else ""))
