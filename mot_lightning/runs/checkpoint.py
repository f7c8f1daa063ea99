"""Checkpoint files: written atomically with a digest, and read without running code from them."""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO

from mot_lightning.errors import ConfigError
from mot_lightning.runs.atomic import replacing
from mot_lightning.runs.find import LAST, PREVIOUS, find_checkpoint
from mot_lightning.runs.integrity import add_digest, check_integrity, is_intact

LIVE, AVERAGED, CODECS = "model.", "ema_model.", "codecs."  # prefixes of a module's weights
FORMAT = 2  # increased when names in the config or the weights change


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a temporary file, then moves it into place: a kill at any moment leaves the old file or the new one.

    Of `last.ckpt`, the one before stays as `last-1.ckpt`. A damaged file is not loaded.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        path = Path(path)
        with replacing(path, path.with_name(PREVIOUS) if path.name == LAST else None) as file:
            torch.save(checkpoint, file)
            add_digest(file)

    def load_checkpoint(self, path: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        if Path(path).is_file():  # other paths, such as addresses, are left to Lightning
            try:
                check_integrity(Path(path))
            except (OSError, zipfile.BadZipFile) as error:
                raise ConfigError(f"checkpoint {path} cannot be read: {error}") from None
        return super().load_checkpoint(path, *args, **kwargs)


def read_checkpoint(path: Path, argument: str = "--ckpt_path") -> dict[str, Any]:
    """The content of a checkpoint of this framework: tensors and plain values only.

    Args:
        path: a file, a run folder or its folder of checkpoints.
        argument: the path's name in errors.

    Raises:
        ConfigError: the file is missing, damaged, of another format, or not a checkpoint of this framework.
    """
    path = find_checkpoint(path, argument)
    if path.is_dir():
        raise ConfigError(
            f"{argument} {path} is a model that export wrote, without data and optimizer, wanted a checkpoint: "
            "generate, export and MoTPipeline.from_pretrained read both"
        )
    if not path.is_file():
        raise ConfigError(f"{argument} {path} does not exist{_offer(path)}")
    try:
        check_integrity(path)
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged archive may raise anything
        reason = f"damaged, or not a checkpoint ({type(error).__name__})"
        raise ConfigError(f"{argument} {path} cannot be read: {reason}{_offer(path)}") from None
    parts = ("config", "state_dict")
    if not isinstance(checkpoint, dict) or not all(isinstance(checkpoint.get(part), dict) for part in parts):
        raise ConfigError(f"{argument} {path} is not a checkpoint of mot_lightning")
    check_format(checkpoint.get("format", 1), f"{argument} {path}")
    checkpoint["state_dict"] = with_live_weights(checkpoint["state_dict"])
    return checkpoint


def check_format(number: Any, name: str) -> None:
    """Raises ConfigError if a file is of another format than this version's.

    Args:
        name: of the file, in the message.
    """
    if number != FORMAT:
        older = "a later" if isinstance(number, int) and number > FORMAT else "an earlier"
        raise ConfigError(
            f"{name} is of {older} version of mot_lightning (format {number}), wanted format {FORMAT}: "
            "its names changed, so train again or use the version that wrote it"
        )


def _offer(path: Path) -> str:
    """The end of an error about a checkpoint: the one before it, if that is intact."""
    previous = path.with_name(PREVIOUS)
    return f"; the checkpoint before it is {previous}" if path.name == LAST and is_intact(previous) else ""


def without_live_weights(weights: Mapping[str, Any]) -> dict[str, Any]:
    """The state dict of a module to export: the averaged weights, which generate and are evaluated, and the codecs."""
    return {name: value for name, value in weights.items() if not name.startswith(LIVE)}


def with_live_weights(weights: Mapping[str, Any]) -> dict[str, Any]:
    """A module's whole state dict; of an export, the averaged weights are the live ones, too."""
    if any(name.startswith(LIVE) for name in weights):
        return dict(weights)
    return {**{f"{LIVE}{name}": value for name, value in strip_prefix(weights, AVERAGED).items()}, **weights}


def strip_prefix(weights: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """The entries of a state dict that begin with a prefix, without it."""
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
