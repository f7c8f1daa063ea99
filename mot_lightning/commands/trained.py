"""Shared by commands that look at a trained model without a Trainer: builds module and data from a checkpoint."""

from typing import Any

import yaml

from mot_lightning.commands.base import Invocation
from mot_lightning.errors import ConfigError, say
from mot_lightning.experiment import checks, startup
from mot_lightning.experiment.build import Experiment, build
from mot_lightning.experiment.resolve import resolve
from mot_lightning.module import MoTModule
from mot_lightning.runs.checkpoint import read_checkpoint
from mot_lightning.runs.compatibility import check_weights


def trained(command: str, invocation: Invocation) -> tuple[Experiment, dict[str, Any]] | None:
    """The experiment of a checkpoint, with its weights and codecs, connected to its data, and the checkpoint.

    None if the config is only printed. The module is on the device that the trainer's settings choose.

    Raises:
        ConfigError: bad input, or the checkpoint is a codec's.
    """
    startup.quiet()
    path = invocation.ckpt_path
    assert path is not None
    checkpoint = read_checkpoint(path)
    config = resolve(invocation.configs, invocation.settings, invocation.allow, checkpoint["config"])
    experiment = build(config, invocation.allow)
    if invocation.print_config:
        say(yaml.safe_dump(experiment.config, sort_keys=False), end="")
        return None
    module, data = experiment.module, experiment.data
    if not isinstance(module, MoTModule):
        raise ConfigError(f"--ckpt_path {path} is a codec's, wanted a model's: a codec has no {command}")
    trainer: Any = experiment.trainer
    if trainer.world_size > 1:
        raise ConfigError(f"trainer.devices is {trainer.world_size}, wanted 1: {command} runs in one process")
    check_weights(module, checkpoint, f"--ckpt_path {path}")
    module.load_state_dict(checkpoint["state_dict"])
    module.fitted_codecs |= {*module.codecs}  # encoded data bring codecs of their own
    module.on_load_checkpoint(checkpoint)
    checks.check(experiment, command)
    if state := checkpoint.get(type(data).__qualname__):  # where Lightning saves a datamodule's
        data.load_state_dict(state)
    data.connect(dict(module.codecs), module.model.grammar)
    module.to(trainer.strategy.root_device)
    return experiment, checkpoint
