"""A checkpoint from its file, and an object from the config in it. Knows nothing of what they hold."""

import copy
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch

from mot_lightning.config import ConfigError
from mot_lightning.wording import one_line

T = TypeVar("T")

OWN_PACKAGES = ("mot_lightning", "datamodules", "lightning", "diffusers")  # whose classes a config may name


def read_checkpoint(path: Path, what: str = "--ckpt_path") -> dict[str, Any]:
    """A checkpoint of this framework; tensors and plain values only, no code is run.

    Args:
        what: the path's name in an error.

    Raises:
        ConfigError: it is missing, damaged, or of something else.
    """
    if not path.is_file():
        raise ConfigError(f"{what} {path} {'is a folder, wanted a file' if path.is_dir() else 'does not exist'}")
    try:
        with zipfile.ZipFile(path) as archive:  # the loader itself does not look at check sums
            if damaged := archive.testzip():
                raise zipfile.BadZipFile(damaged)
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a damaged archive raises
        raise ConfigError(f"{what} {path} cannot be read: damaged, or no checkpoint ({type(error).__name__})") from None
    if not isinstance(checkpoint, dict) or not {"config", "state_dict"} <= set(checkpoint):
        raise ConfigError(f"{what} {path} is not a checkpoint of mot_lightning")
    return checkpoint


def build(kind: type[T], settings: dict[str, Any], allow: Sequence[str] = ()) -> T:
    """An object from its settings, as the command line would build it.

    Args:
        allow: packages whose classes the settings may name, besides our own.

    Raises:
        ConfigError: they do not fit.
    """
    import jsonargparse

    jsonargparse.set_parsing_settings(import_path_denylist=["*"], import_path_allowlist=[*OWN_PACKAGES, *allow])
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(kind, "it")
    try:
        return parser.instantiate_classes(parser.parse_object({"it": copy.deepcopy(settings)})).it
    except (jsonargparse.ArgumentError, ValueError, TypeError) as error:
        raise ConfigError(one_line(str(error))) from error
