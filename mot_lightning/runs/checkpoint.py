"""Checkpoint files: written atomically, and read without running code from them."""

import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO

from mot_lightning.errors import ConfigError
from mot_lightning.runs.find import find_checkpoint

FORMAT = 2  # increased when names in the config or the weights change


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a temporary file, then moves it into place: a kill at any moment leaves the old file or the new one."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            with temporary.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def read_checkpoint(path: Path, argument: str = "--ckpt_path") -> dict[str, Any]:
    """The content of a checkpoint of this framework: tensors and plain values only.

    Args:
        path: a file, a run folder or its folder of checkpoints.
        argument: the path's name in errors.

    Raises:
        ConfigError: the file is missing, damaged, of another format, or not a checkpoint of this framework.
    """
    path = find_checkpoint(path, argument)
    if not path.is_file():
        raise ConfigError(f"{argument} {path} does not exist")
    try:
        with zipfile.ZipFile(path) as archive:  # torch.load does not verify checksums
            if damaged := archive.testzip():
                raise zipfile.BadZipFile(damaged)
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged archive may raise anything
        reason = f"damaged, or not a checkpoint ({type(error).__name__})"
        raise ConfigError(f"{argument} {path} cannot be read: {reason}") from None
    if not isinstance(checkpoint, dict) or not {"config", "state_dict"} <= set(checkpoint):
        raise ConfigError(f"{argument} {path} is not a checkpoint of mot_lightning")
    if (version := checkpoint.get("format", 1)) != FORMAT:
        older = "an earlier" if version < FORMAT else "a later"
        raise ConfigError(
            f"{argument} {path} is of {older} version of mot_lightning (format {version}), wanted format {FORMAT}: "
            "its names changed, so train again or use the version that wrote it"
        )
    return checkpoint


def strip_prefix(weights: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """The entries of a state dict that begin with a prefix, without it."""
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
