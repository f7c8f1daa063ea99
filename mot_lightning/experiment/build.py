"""From a resolved config to module, data and trainer: LightningCLI with this project's parts."""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import yaml
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.strategies import FSDPStrategy, ModelParallelStrategy

from mot_lightning import callbacks
from mot_lightning.config.instantiate import importing_only
from mot_lightning.config.messages import shorten
from mot_lightning.errors import ConfigError, describe
from mot_lightning.experiment.modality_of import with_modality
from mot_lightning.experiment.parser import Parser, check_groups
from mot_lightning.experiment.ranks import watch_ranks
from mot_lightning.experiment.trainer import (
    callbacks_of,
    in_run_folder,
    intervals,
    loggers_of,
    ranks_of_torchrun,
    sort_callbacks,
)
from mot_lightning.experiment.trainer_settings import check_settings
from mot_lightning.module import MoTModule
from mot_lightning.runs.checkpoint import AtomicCheckpointIO
from mot_lightning.training.codec_module import CodecModule
from mot_lightning.training.sharding import FSDP2


@dataclass
class Experiment:
    """What a config builds.

    Attributes:
        config: complete, with all defaults filled in, so that it means the same when defaults change. The trainer's
            defaults are not: they belong to the version of Lightning.
    """

    module: MoTModule | CodecModule
    data: Any
    trainer: Trainer
    config: dict[str, Any]


class MoTCLI(LightningCLI):
    """Builds module, data and trainer; a command decides what to do with them."""

    of_steps: ClassVar[tuple[type[Callback], ...]] = (callbacks.ExpertUtilisation, callbacks.GradientNorms)
    callbacks: ClassVar[dict[str, Any]] = {
        "samples": callbacks.SampleLogger,
        "report": callbacks.Report,
    }

    def init_parser(self, **kwargs: Any) -> LightningArgumentParser:
        return Parser(**kwargs)

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        check_groups(args, [action.dest for action in parser._actions])
        # 1 is one batch, 1.0 is all, but Python may return a cached Union[float, int] for Union[int, float]
        self.trainer_integers = {name: value for name, value in args["trainer"].items() if type(value) is int}
        self.config = parser.parse_object(args)  # not from sys.argv, which strategies use to relaunch the command
        parser.validate(self.config, False)  # null too has to fit; the argument is skip_none before jsonargparse 4.53
        for name, value in self.trainer_integers.items():
            self.config["trainer"][name] = value

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_argument("--experiment", type=str, default="default", help="name of the run folder")
        parser.add_argument("--runs", type=str, default="runs", help="folder of all run folders")
        parser.add_argument("--seed", type=int, default=0, help="of weights, data and noise")
        parser.link_arguments("seed", "model.seed")
        parser.link_arguments("seed", "data.init_args.seed")
        for name, callback in self.callbacks.items():
            parser.add_lightning_class_args(callback, name)

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        configured = {name: self._get(self.config_init, f"trainer.{name}") for name in ("callbacks", "logger")}
        # "is not False": null means yes in Lightning
        bar = self._get(self.config_init, "trainer.enable_progress_bar") is not False
        arguments = {
            **self.trainer_integers,
            **intervals(self.trainer_integers),
            "logger": loggers_of(configured["logger"], Path(self._get(self.config_init, "trainer.default_root_dir"))),
            "plugins": [AtomicCheckpointIO()],
            "callbacks": callbacks_of(configured["callbacks"], bar, self.of_steps),
        }
        try:
            trainer: Any = super().instantiate_trainer(**arguments)
        except (MisconfigurationException, ValueError, TypeError) as error:
            raise ConfigError(f"trainer does not fit: {str(error)[:300]}") from error
        strategy = trainer.strategy
        if isinstance(strategy, FSDPStrategy | ModelParallelStrategy) and not isinstance(strategy, FSDP2):
            raise ConfigError(f"trainer.strategy is {type(strategy).__name__}, wanted fsdp2 to shard weights")
        watch_ranks(strategy)
        sort_callbacks(trainer)
        return trainer


class CodecCLI(MoTCLI):
    """`MoTCLI` for the training of a codec."""

    callbacks: ClassVar = {"samples": callbacks.Reconstructions, "report": callbacks.CodecReport}
    of_steps: ClassVar = ()


def start(cli: type[MoTCLI], config: dict[str, Any], module: type[LightningModule] = MoTModule) -> MoTCLI:
    """LightningCLI on a config: it parses and builds, and runs nothing."""
    return cli(
        module,
        LightningDataModule,
        subclass_mode_data=True,
        run=False,
        args=config,
        auto_configure_optimizers=False,
        seed_everything_default=False,
        save_config_callback=None,
    )


def build(config: dict[str, Any], allow: list[str], folder: Path = Path("runs")) -> Experiment:
    """Module, data and trainer of a resolved config; the run folder is not created.

    Raises:
        ConfigError: a key or a value does not fit.
    """
    arguments = copy.deepcopy(config)  # jsonargparse modifies its input
    trainer = arguments["trainer"]
    arguments["trainer"] = {**trainer, **ranks_of_torchrun(trainer), "default_root_dir": str(folder)}
    check_settings(trainer)
    if "logger" in trainer:
        arguments["trainer"]["logger"] = in_run_folder(trainer["logger"], folder, allow)
    trains_codec = "codec" in config["model"]
    try:
        with importing_only(allow):
            cli = start(CodecCLI, arguments, CodecModule) if trains_codec else start(MoTCLI, arguments)
            complete = _complete(cli, config["trainer"])
    except (ValueError, TypeError, MisconfigurationException) as error:
        raise ConfigError(with_modality(shorten(str(error)), config)) from error
    except Exception as error:  # classes of libraries and of users raise anything
        raise ConfigError(describe(error, "the experiment")) from error
    cli.model.config = complete
    return Experiment(cli.model, cli.datamodule, cli.trainer, complete)


def _complete(cli: MoTCLI, trainer: dict[str, Any]) -> dict[str, Any]:
    """The config that was parsed, with the defaults that classes chose."""
    text = cli.parser.dump(cli.config, skip_none=False, skip_link_targets=True, skip_validation=True)
    config = yaml.safe_load(text)
    config = {name: value for name, value in config.items() if name not in ("seed_everything", "trainer")}
    module, model = cli.model, config["model"]
    if isinstance(module, MoTModule):
        for name, modality in model["modalities"].items():
            _fill(modality["codec"], module.codecs[name])
            _fill(modality["objective"], module.model.objectives[name])
    else:
        _fill(model["codec"], module.codec)
    first = {"base": None, **{name: config[name] for name in ("experiment", "runs", "seed", "model", "data")}}
    return {**first, "trainer": trainer, **{name: value for name, value in config.items() if name not in first}}


def _fill(spec: dict[str, Any], instance: Any) -> None:
    """Replace null arguments of a class by the values that its instance chose."""
    for name, value in spec.get("init_args", {}).items():
        chosen = getattr(instance, name, None)
        if value is None and isinstance(chosen, str | int | float | list | tuple | dict):
            spec["init_args"][name] = list(chosen) if isinstance(chosen, tuple) else chosen
