"""Shared by commands that look at a model without training it: builds module and data, and no run folder."""

import yaml

from mot_lightning.commands.base import Invocation
from mot_lightning.errors import ConfigError, say
from mot_lightning.experiment import startup
from mot_lightning.experiment.build import Experiment, build
from mot_lightning.experiment.resolve import resolve
from mot_lightning.module import MoTModule
from mot_lightning.runs.checkpoint import read_checkpoint


def untrained(command: str, invocation: Invocation) -> Experiment | None:
    """The experiment of a command line, with the config of its checkpoint if it has one; None if that is only printed.

    Args:
        command: its name, for messages.

    Raises:
        ConfigError: bad input, or the config trains a codec alone.
    """
    startup.quiet()
    base = read_checkpoint(invocation.ckpt_path)["config"] if invocation.ckpt_path else None
    config = resolve(invocation.configs, invocation.settings, invocation.allow, base)
    experiment = build(config, invocation.allow)
    if invocation.print_config:
        say(yaml.safe_dump(experiment.config, sort_keys=False), end="")
        return None
    if not isinstance(experiment.module, MoTModule):
        raise ConfigError(f"model.codec is given, wanted a model with modalities: a codec has no {command}")
    return experiment
