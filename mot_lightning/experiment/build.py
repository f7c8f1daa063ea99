"""From a resolved config to module, data and trainer: LightningCLI with this project's parts."""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import yaml
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.strategies import FSDPStrategy, ModelParallelStrategy

from mot_lightning import callbacks
from mot_lightning.config.instantiate import importing_only
from mot_lightning.config.messages import shorten
from mot_lightning.errors import ConfigError
from mot_lightning.experiment.parser import Parser
from mot_lightning.module import MoTModule
from mot_lightning.runs.checkpoint import AtomicCheckpointIO
from mot_lightning.runs.csv_logger import loggers
from mot_lightning.training.codec_module import CodecModule
from mot_lightning.training.sharding import FSDP2


@dataclass
class Experiment:
    """What a config builds.

    Attributes:
        config: whole, with all defaults filled in, so that it means the same when defaults change. The trainer's stay
            as they were given: Lightning's defaults go with its version.
    """

    module: MoTModule | CodecModule
    data: Any
    trainer: Trainer
    config: dict[str, Any]


class MoTCLI(LightningCLI):
    """Builds module, data and trainer; a command decides what to do with them."""

    callbacks: ClassVar[dict[str, Any]] = {
        "metrics": callbacks.ModalityMetrics,
        "experts": callbacks.ExpertUtilisation,
        "gradient_norms": callbacks.GradientNorms,
        "samples": callbacks.SampleLogger,
        "report": callbacks.Report,
    }

    def init_parser(self, **kwargs: Any) -> LightningArgumentParser:
        return Parser(**kwargs)

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        integers = {name: value for name, value in args["trainer"].items() if type(value) is int}
        self.config = parser.parse_object(args)  # sys.argv stays as it is: strategies relaunch the command by it
        for name, value in integers.items():
            # 1 is one batch, 1.0 is all: Python takes Union[int, float] for Union[float, int], if that came first
            if self.config["trainer"][name] == value:
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
        folder = Path(self._get(self.config_init, "trainer.default_root_dir"))
        given = self._get(self.config_init, "trainer.callbacks") or []
        # "is False": null is Lightning's own word for yes
        no_bar = self._get(self.config_init, "trainer.enable_progress_bar") is False
        trainer: Any = super().instantiate_trainer(
            logger=loggers(folder),
            plugins=[AtomicCheckpointIO()],
            callbacks=[
                *given,
                *([] if no_bar else [callbacks.StepProgress()]),
                callbacks.ExactResume(),
                callbacks.StopOnSignal(),
                callbacks.Checkpoints(),
            ],
        )
        strategy = trainer.strategy
        if isinstance(strategy, FSDPStrategy | ModelParallelStrategy) and not isinstance(strategy, FSDP2):
            raise ConfigError(f"trainer.strategy is {type(strategy).__name__}, wanted fsdp2 to shard weights")
        # rows are written before anything may raise; a signal stops the run after the checkpoint of a validation
        last = {callbacks.Checkpoints: 2, callbacks.StopOnSignal: 3}
        ours = (*self.callbacks.values(), callbacks.ExactResume, callbacks.StepProgress)
        trainer.callbacks.sort(key=lambda c: last.get(type(c), 0 if isinstance(c, ours) else 1))
        return trainer


class CodecCLI(MoTCLI):
    """The same for the training of a codec."""

    callbacks: ClassVar = {"samples": callbacks.Reconstructions, "report": callbacks.CodecReport}


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
    """Module, data and trainer of a resolved config; the run folder is named, not made.

    Raises:
        ConfigError: a key or a value does not fit.
    """
    given = copy.deepcopy(config)  # jsonargparse writes into what it reads
    given["trainer"] = {**given["trainer"], "default_root_dir": str(folder)}
    trains_codec = "codec" in config["model"]
    try:
        with importing_only(allow):
            cli = start(CodecCLI, given, CodecModule) if trains_codec else start(MoTCLI, given)
            whole = _whole(cli, config["trainer"])
    except (ValueError, TypeError, MisconfigurationException) as error:
        raise ConfigError(shorten(str(error))) from error
    cli.model.config = whole
    return Experiment(cli.model, cli.datamodule, cli.trainer, whole)


def _whole(cli: MoTCLI, trainer: dict[str, Any]) -> dict[str, Any]:
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
    """Write into a class's arguments what it chose where it was given nothing."""
    for name, value in spec.get("init_args", {}).items():
        chosen = getattr(instance, name, None)
        if value is None and isinstance(chosen, str | int | float | list | tuple | dict):
            spec["init_args"][name] = list(chosen) if isinstance(chosen, tuple) else chosen
