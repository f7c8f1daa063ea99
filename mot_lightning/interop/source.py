"""Where a trained model comes from: a checkpoint, a run's folder, a folder without pickles, or the Hub."""

from pathlib import Path
from typing import Any

from mot_lightning.config.paths import absolute
from mot_lightning.errors import ConfigError
from mot_lightning.interop.folder import read_folder
from mot_lightning.interop.hub import download, names_repository
from mot_lightning.runs.checkpoint import read_checkpoint
from mot_lightning.runs.find import find_checkpoint, holds_model
from mot_lightning.runs.training_record import training_record


def read_source(path: str | Path, argument: str = "checkpoint", revision: str | None = None) -> dict[str, Any]:
    """The checkpoint of a trained model, with what is known of its training.

    Args:
        path: a checkpoint, a run folder or its folder of checkpoints, a folder that export wrote, or as a text of the
            form USER/NAME a repository of the Hub.
        argument: the path's name in errors.
        revision: of the repository: a branch, a tag or a commit.

    Raises:
        ConfigError: there is no such file, folder or repository; or it is damaged, of another format, or no model.
    """
    if names_repository(path):
        return read_folder(download(str(path), revision, argument), f"{argument} {path}:")
    if revision is not None:
        raise ConfigError(f"revision is {revision!r}, wanted none: {path} is no repository of the Hub")
    folder = absolute(path, argument)
    if holds_model(folder):
        return read_folder(folder, argument)
    file = find_checkpoint(folder, argument)
    checkpoint = read_checkpoint(file, argument)
    return {**checkpoint, "training": training_record(checkpoint, file)}
