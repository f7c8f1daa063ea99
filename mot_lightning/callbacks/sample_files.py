"""Samples in the loggers that show files: Weights & Biases by kind, MLflow as artifacts."""

from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger, MLFlowLogger, WandbLogger

from mot_lightning.media.html import kind


def log_files(logger: Logger, folder: Path, tag: str, step: int) -> None:
    """Log the files of one task; a logger of another kind is left alone.

    Args:
        folder: holds `tag` with any suffix, which shows all samples together, or `tag_00`, `tag_01` with one each.
    """
    if isinstance(logger, MLFlowLogger):
        for path in sorted(folder.glob(f"{tag}*")):
            logger.experiment.log_artifact(logger.run_id, str(path), f"samples/{folder.name}")
    elif isinstance(logger, WandbLogger):
        _log_to_wandb(logger, folder, tag, step)


def _log_to_wandb(logger: Any, folder: Path, tag: str, step: int) -> None:
    together = [path for path in sorted(folder.glob(f"{tag}.*")) if path.suffix != ".json"]
    for path in together:
        if kind(path) == "image":
            logger.log_image(f"samples/{tag}", [str(path)], step=step)
        elif kind(path) == "text":
            lines = [[line] for line in path.read_text(encoding="utf-8").splitlines()]
            logger.log_text(f"samples/{tag}", columns=["sample"], data=lines, step=step)
    if sounds := [str(path) for path in sorted(folder.glob(f"{tag}_*")) if kind(path) == "audio"]:
        logger.log_audio(f"samples/{tag}", sounds, step=step)
