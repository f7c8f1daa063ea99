"""LightningCLI with this project's parts: plain errors, our callbacks as settings, and no work at build time."""

import copy
import inspect
import os
import re
from pathlib import Path
from typing import Any, ClassVar

import jsonargparse
import yaml
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.strategies import FSDPStrategy, ModelParallelStrategy
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from mot_lightning import run_folder
from mot_lightning.callbacks import (
    AtomicCheckpointIO,
    Checkpoints,
    CodecReport,
    ExactResume,
    ExpertUtilisation,
    GradientNorms,
    ModalityMetrics,
    Reconstructions,
    Report,
    SampleLogger,
    StepProgress,
    StopOnSignal,
)
from mot_lightning.codecs.training import CodecModule
from mot_lightning.config import ConfigError, class_names, did_you_mean_setting, find_class
from mot_lightning.loading import OWN_PACKAGES
from mot_lightning.module import MoTModule
from mot_lightning.sharding import FSDP2
from mot_lightning.wording import one_line

# Lightning's own use of jsonargparse; nobody here can mend it
os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")


class Parser(LightningArgumentParser):
    """Raises one line where jsonargparse prints its usage and exits."""

    def error(self, message: str, ex: Exception | None = None) -> Any:
        """Say what is wrong in one line; jsonargparse tells all that it tried."""
        message = " ".join(str(message).split())
        keys = [key for key in re.findall(r'Parser key "([^"]+)"', message)]
        said = re.search(r"there is no setting '[^']+'(, did you mean \w+\?)?", message)  # by a parser within
        if said:
            raise ConfigError(f"{'.'.join(keys)}: {said[0]}")
        unknown = re.search(
            r"[Gg]roup '(?P<group>\w+)' does not accept option '(?P<a>[^']+)'|Option '(?P<b>[^']+)'", message
        )
        if unknown:
            name = ".".join([*keys, *filter(None, unknown.group("group", "a", "b"))])
            raise ConfigError(
                f"there is no setting {name!r}{did_you_mean_setting(name.rpartition('.')[2], self._words())}"
            )
        raise ConfigError(one_line(message))

    def _words(self) -> set[str]:
        """All that a setting may be called."""
        paths = (action.dest.split(".") for action in self._actions)
        own = {".".join(path[:n]) for path in paths for n in range(1, len(path) + 1)}
        return own.union(*(inspect.signature(find_class(name)).parameters for name in class_names()))


class MoTCLI(LightningCLI):
    """Builds model, data and trainer; the command decides what to do with them."""

    callbacks: ClassVar[dict[str, Any]] = {
        "metrics": ModalityMetrics,
        "experts": ExpertUtilisation,
        "gradient_norms": GradientNorms,
        "samples": SampleLogger,
        "report": Report,
    }

    def init_parser(self, **kwargs: Any) -> LightningArgumentParser:
        return Parser(**kwargs)

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        self.config = parser.parse_object(args)  # sys.argv stays as it is: strategies relaunch the command by it

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_argument("--experiment", type=str, default="default", help="name of the run folder")
        parser.add_argument("--runs", type=str, default="runs", help="folder of all run folders")
        parser.add_argument("--seed", type=int, default=0, help="of weights, data and noise")
        for name, callback in self.callbacks.items():
            parser.add_lightning_class_args(callback, name)

    def whole(self, config: dict[str, Any]) -> dict[str, Any]:
        """The config with all defaults filled in, so that it means the same when defaults change.

        The trainer's stay as they are: Lightning's defaults go with its version.
        """
        found = self.config.as_dict()
        module, model = self.model, found["model"]
        specs: list[
            tuple[Any, Any]
        ] = []  # not the data's: what they choose may follow from what stands beside the checkpoint
        if isinstance(module, MoTModule):
            for name, modality in model["modalities"].items():
                specs += [(modality["codec"], module.codecs[name])]
                specs += [(modality["objective"], module.model.objectives[name])]
        else:
            specs += [(model["codec"], module.codec)]
        for spec, made in specs:
            _fill(spec, made)
        found = {name: value for name, value in found.items() if name != "seed_everything"}
        return yaml.safe_load(yaml.safe_dump({**found, "trainer": config["trainer"]}, sort_keys=False))  # plain values

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        folder = Path(self._get(self.config_init, "trainer.default_root_dir"))
        theirs = self._get(self.config_init, "trainer.callbacks") or []
        # "is False": null is Lightning's own word for yes
        bar = [] if self._get(self.config_init, "trainer.enable_progress_bar") is False else [StepProgress()]
        trainer: Any = super().instantiate_trainer(
            logger=run_folder.loggers(folder),
            plugins=[AtomicCheckpointIO()],
            callbacks=[*theirs, *bar, ExactResume(), StopOnSignal(), Checkpoints()],
        )
        if isinstance(trainer.strategy, FSDPStrategy | ModelParallelStrategy) and not isinstance(
            trainer.strategy, FSDP2
        ):
            raise ConfigError(f"trainer.strategy is {type(trainer.strategy).__name__}, wanted fsdp2 to shard weights")
        # rows are written before anything may raise; a signal stops the run after the checkpoint of a validation
        last = {Checkpoints: 2, StopOnSignal: 3}
        ours = (*self.callbacks.values(), ExactResume, StepProgress)
        trainer.callbacks.sort(key=lambda c: last.get(type(c), 0 if isinstance(c, ours) else 1))
        return trainer


class CodecCLI(MoTCLI):
    """The same for the training of a codec."""

    callbacks: ClassVar = {"samples": Reconstructions, "report": CodecReport}


def _fill(spec: dict[str, Any], made: Any) -> None:
    """Write into a class's arguments what it chose where it was given nothing."""
    for name, value in spec.get("init_args", {}).items():
        own = getattr(made, name, None)
        if value is None and isinstance(own, str | int | float | list | tuple | dict):
            spec["init_args"][name] = own


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


def instantiate(config: dict[str, Any], allowed: list[str], folder: Path) -> MoTCLI:
    """Model, data and trainer from a whole config; the run folder is named, not made.

    Raises:
        ConfigError: a key or a value does not fit.
    """
    jsonargparse.set_parsing_settings(
        import_path_denylist=["*"],
        import_path_allowlist=[*OWN_PACKAGES, *allowed],
    )
    config = copy.deepcopy(config)  # jsonargparse writes into what it reads
    config["trainer"] = {**config["trainer"], "default_root_dir": str(folder)}
    try:
        return start(CodecCLI, config, CodecModule) if "codec" in config["model"] else start(MoTCLI, config)
    except (ValueError, TypeError, MisconfigurationException) as error:
        raise ConfigError(one_line(str(error))) from error
