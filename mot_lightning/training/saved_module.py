"""What a module saves: all that is needed to build it again, and to know what it was trained on."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import torch
from lightning.pytorch import LightningModule

from mot_lightning.codecs import Codec
from mot_lightning.config.instantiate import instantiate
from mot_lightning.config.recorded import class_spec, plain
from mot_lightning.errors import ConfigError
from mot_lightning.generation import GenerationLimits
from mot_lightning.modality import Modality
from mot_lightning.runs.checkpoint import FORMAT, read_checkpoint, with_live_weights, without_live_weights
from mot_lightning.runs.compatibility import PRETRAINED, check_codecs, check_weights
from mot_lightning.training.optimizer import OptimizerSettings


def config_of(modalities: Mapping[str, Modality], seed: int, **settings: Any) -> dict[str, Any]:
    """The config of a module that was built from objects, as plain values."""
    specs = {
        name: {
            "codec": class_spec(modality.codec),
            "objective": class_spec(modality.objective),
            "weight": modality.weight,
            "codec_samples": modality.codec_samples,
        }
        for name, modality in modalities.items()
    }
    return {"seed": seed, "model": {"modalities": specs, **plain(settings)}}


def _loggable(config: Any) -> Any:
    """A config with keys that all loggers take: MLflow allows no plus sign."""
    if not isinstance(config, dict):
        return config
    return {re.sub(r"[^\w\-. :/]", "-", str(key)): _loggable(value) for key, value in config.items()}


class SavedModule(LightningModule):
    """A LightningModule whose checkpoints can build it again, codecs included.

    Attributes:
        codecs: of each modality.
        limits: what it was trained on; None before training.
        fitted_codecs: names of codecs that are fitted, or from a checkpoint: they are not fitted again.
    """

    codecs: Mapping[str, Codec]
    optimizer: OptimizerSettings

    def __init__(self) -> None:
        super().__init__()
        self.limits: GenerationLimits | None = None
        self.fitted_codecs: set[str] = set()

    @property
    def config(self) -> dict[str, Any]:
        """All settings as plain values; also in `hparams`."""
        return self._config

    @config.setter
    def config(self, config: dict[str, Any]) -> None:
        self._config = config
        self.save_hyperparameters(_loggable(config))

    @property
    def learning_rate(self) -> float:
        """At the peak; Lightning's learning rate finder sets it."""
        return self.optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate: float) -> None:
        self.optimizer = replace(self.optimizer, learning_rate=learning_rate)
        self.config = {**self.config, "model": {**self.config["model"], "optimizer": plain(self.optimizer)}}

    @classmethod
    def load_from_checkpoint(  # type: ignore[override]
        cls,
        checkpoint_path: str | Path,
        map_location: torch.device | str = "cpu",
        strict: bool = True,
        allow: Sequence[str] = (),
        **arguments: Any,
    ) -> Self:
        """The module of a checkpoint, with its weights and codecs.

        Args:
            checkpoint_path: a file that a Trainer saved, or a run folder.
            map_location: device of the module.
            strict: whether the checkpoint must have exactly the module's weights.
            allow: packages whose classes its config may name, besides those of this framework.
            arguments: of `__init__`, in place of the checkpoint's.

        Raises:
            ConfigError: the file is missing, damaged, of another format, or not a checkpoint of a model; or its weights
                or codecs are not the module's.
        """
        checkpoint = read_checkpoint(Path(checkpoint_path), "checkpoint")
        config = checkpoint["config"]
        if "modalities" not in config["model"]:
            raise ConfigError(f"checkpoint {checkpoint_path} is a codec's, wanted a model's")
        settings = {name: value for name, value in config["model"].items() if name not in {*arguments, PRETRAINED}}
        module = cls(**{**instantiate(cls, {"seed": config["seed"], **settings}, allow), **arguments})
        if not arguments:
            module.config = config
        if strict:
            check_weights(module, checkpoint, f"checkpoint {checkpoint_path}")
        module.load_state_dict(checkpoint["state_dict"], strict=strict)
        module.on_load_checkpoint(checkpoint)
        module.fitted_codecs = {*module.codecs}
        return module.to(map_location)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if "optimizer_states" not in checkpoint:  # Lightning's `weights_only`
            checkpoint["state_dict"] = without_live_weights(checkpoint["state_dict"])
        checkpoint["format"] = FORMAT
        checkpoint["config"] = self.config
        checkpoint["codecs"] = {name: codec.fingerprint(codec.state_dict()) for name, codec in self.codecs.items()}
        if self.limits is not None:
            checkpoint["limits"] = self.limits.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if "state_dict" in checkpoint:  # sharded strategies remove it and load it themselves
            check_codecs(self.codecs, checkpoint)
            checkpoint["state_dict"] = with_live_weights(checkpoint["state_dict"])
        if state := checkpoint.get("limits"):
            saved = GenerationLimits.from_state_dict(state)
            self.limits = saved.union(self.limits) if self.limits else saved  # a resumed run may use other data
