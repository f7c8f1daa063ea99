"""Checkpoints: the best, the last, and one whenever a run is stopped or fails. Nothing is ever half-written."""

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch.callbacks import ModelCheckpoint

from mot_lightning.callbacks.diverged import Diverged, check_weights
from mot_lightning.callbacks.stop import Stopped, unstoppable


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the file it replaces and moves it there whole: a kill at any moment leaves the old or the new."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            with beside.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)


class Checkpoints(ModelCheckpoint):
    """`checkpoints/best.ckpt` by validation loss and `checkpoints/last.ckpt`, in the run's folder.

    `last.ckpt` is written after each validation, and when an exception ends the run; never with weights that are none.
    """

    def __init__(self) -> None:
        super().__init__(
            monitor="val/loss", filename="best", save_top_k=1, save_last=True, enable_version_counter=False
        )

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        self.dirpath = str(Path(trainer.default_root_dir) / "checkpoints")
        super().setup(trainer, pl_module, stage)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """A resumed run keeps the old run's best, copied into its own folder, until it beats it."""
        old, score = Path(state_dict["best_model_path"]), state_dict["best_model_score"]
        if score is None or not old.is_file():
            return
        assert self.dirpath is not None
        own = Path(self.dirpath) / old.name
        own.parent.mkdir(parents=True, exist_ok=True)
        if not own.exists():
            shutil.copyfile(old, own)
        self.best_model_path = self.kth_best_model_path = str(own)
        self.best_model_score = self.kth_value = score
        self.best_k_models = {str(own): score}

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        self._write_last(trainer)

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        check_weights(pl_module, trainer.global_step)

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        if isinstance(exception, Diverged):
            return
        # one rank that fails alone must not wait for the others to save with it
        together = trainer.world_size == 1 or (isinstance(exception, Stopped) and exception.together)
        if trainer.state.fn == "fit" and trainer.optimizers and together:
            try:
                self._write_last(trainer)
            except Diverged as diverged:  # beside what ended the run
                print(f"last.ckpt is not written: {diverged}", file=sys.stderr)

    def _write_last(self, trainer: Any) -> None:
        assert self.dirpath is not None
        with unstoppable():
            trainer.save_checkpoint(Path(self.dirpath) / "last.ckpt")
