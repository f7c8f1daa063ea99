"""Checks before a run begins, of errors that would otherwise show too late."""

from mot_lightning.errors import ConfigError
from mot_lightning.experiment.build import Experiment
from mot_lightning.module import MoTModule


def check(experiment: Experiment, command: str) -> None:
    """Raises ConfigError if a run cannot work; loads the data and checks one medium of each modality."""
    if command == "fit":
        _check_trainer(experiment)
    _check_data(experiment)


def _check_trainer(experiment: Experiment) -> None:
    trainer, module = experiment.trainer, experiment.module
    if trainer.max_steps < 1:
        raise ConfigError(f"trainer.max_steps is {trainer.max_steps}, wanted at least 1")
    every = trainer.val_check_interval
    if not (isinstance(every, int) and every >= 1):
        raise ConfigError(f"trainer.val_check_interval is {every}, wanted steps, at least 1")
    # flex attention has no backward pass on the CPU
    flex = isinstance(module, MoTModule) and module.model.backbone.settings.attention == "flex"
    if flex and trainer.strategy.root_device.type == "cpu":
        raise ConfigError("model.backbone.attention is flex, wanted auto, sdpa or blockwise to train on the CPU")


def _check_data(experiment: Experiment) -> None:
    module, data = experiment.module, experiment.data
    try:
        data.prepare_data()
        data.setup("fit")
        for name, codec in module.codecs.items():
            try:
                codec.check(data.media(name, "train")[0])
            except ValueError as error:
                raise ConfigError(f"model.modalities.{name}.codec is {type(codec).__name__}: {error}") from error
        if isinstance(module, MoTModule):
            data.connect(dict(module.codecs), module.model.grammar)
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(str(error)) from error
