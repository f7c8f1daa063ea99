"""Checkpoints: the best, the last, and one when a run is stopped or fails. No file is ever half-written."""

import shutil
import sys
from pathlib import Path
from typing import Any

from lightning.pytorch.callbacks import ModelCheckpoint

from mot_lightning.signals import Interrupted, shielded
from mot_lightning.training.divergence import Diverged, check_weights


class Checkpoints(ModelCheckpoint):
    """`checkpoints/best.ckpt` by validation loss and `checkpoints/last.ckpt`, in the run's folder.

    `last.ckpt` is written after each validation and when an exception ends the run, never with NaN or infinite weights.
    """

    def __init__(self) -> None:
        super().__init__(
            monitor="val/loss", filename="best", save_top_k=1, save_last=True, enable_version_counter=False
        )
        self.updating = -1

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        self.dirpath = str(Path(trainer.default_root_dir) / "checkpoints")
        super().setup(trainer, pl_module, stage)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Copy the old run's best checkpoint into this run's folder; it stays the best until this run beats it."""
        old_best, score = Path(state_dict["best_model_path"]), state_dict["best_model_score"]
        if score is None or not old_best.is_file():
            return
        assert self.dirpath is not None
        best = Path(self.dirpath) / old_best.name
        best.parent.mkdir(parents=True, exist_ok=True)
        if not best.exists():
            shutil.copyfile(old_best, best)
        self.best_model_path = self.kth_best_model_path = str(best)
        self.best_model_score = self.kth_value = score
        self.best_k_models = {str(best): score}

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        self.updating = trainer.global_step  # until the trainer has counted the step, its weights are of neither

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        self._write_last(trainer)

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        check_weights(pl_module, trainer.global_step)

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        if isinstance(exception, Diverged):
            return
        # a rank that fails alone must not wait for the others to save with it
        may_save = trainer.world_size == 1 or (isinstance(exception, Interrupted) and exception.all_ranks)
        if trainer.state.fn == "fit" and trainer.optimizers and trainer.global_step == self.updating:
            print(f"last.ckpt is not written: the run ended inside step {self.updating + 1}", file=sys.stderr)
        elif trainer.state.fn == "fit" and trainer.optimizers and may_save:
            try:
                self._write_last(trainer)
            except Diverged as diverged:  # the original exception propagates
                print(f"last.ckpt is not written: {diverged}", file=sys.stderr)

    def _write_last(self, trainer: Any) -> None:
        assert self.dirpath is not None
        if trainer.fast_dev_run:  # writes no checkpoint
            return
        with shielded():
            trainer.save_checkpoint(Path(self.dirpath) / "last.ckpt")
