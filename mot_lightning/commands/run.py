"""Shared by commands with a Trainer: builds and checks the experiment, and creates its run folder."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from mot_lightning.commands.base import Invocation
from mot_lightning.experiment import checks, startup
from mot_lightning.experiment.build import Experiment, build
from mot_lightning.experiment.resolve import resolve
from mot_lightning.runs import folder as run_folder
from mot_lightning.runs.checkpoint import read_checkpoint
from mot_lightning.runs.compatibility import check_weights
from mot_lightning.signals import interruptible


@dataclass
class Run:
    """An experiment, ready to run.

    Attributes:
        folder: the run folder, which contains config.yaml.
        checkpoint: the checkpoint that it starts from, if any.
    """

    experiment: Experiment
    folder: Path
    checkpoint: dict[str, Any] | None


@contextmanager
def open_run(command: str, invocation: Invocation) -> Iterator[Run | None]:
    """The run of a command line; None if the config is only printed.

    Raises:
        ConfigError: bad input, before anything is written.
    """
    startup.quiet()
    startup.keep_freed_memory()
    with interruptible(), ExitStack() as stack:
        checkpoint = read_checkpoint(invocation.ckpt_path) if invocation.ckpt_path else None
        config = resolve(invocation.configs, invocation.settings, invocation.allow, checkpoint and checkpoint["config"])
        # a fast_dev_run leaves nothing behind
        temporary = config["trainer"].get("fast_dev_run") and stack.enter_context(TemporaryDirectory())
        while True:
            chosen = run_folder.choose(config.get("runs", "runs"), config.get("experiment", "default"))
            folder = Path(temporary) if temporary else chosen
            experiment = build(config, invocation.allow, folder)
            if invocation.print_config:
                print(yaml.safe_dump(experiment.config, sort_keys=False), end="")
                yield None
                return
            if checkpoint is not None and invocation.ckpt_path is not None:
                check_weights(experiment.module, checkpoint, invocation.ckpt_path)
            checks.check(experiment, command)
            # if another run took the number in the meantime, take the next
            rank_zero = experiment.trainer.is_global_zero
            if temporary or not rank_zero or run_folder.create(folder, experiment.config):
                break
        with run_folder.announced(folder):
            yield Run(experiment, folder, checkpoint)
