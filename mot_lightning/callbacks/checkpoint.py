"""Checkpoints: the best, the last, and one when a run is stopped or fails. No file is ever half-written."""

import shutil
import sys
from pathlib import Path
from typing import Any

from lightning.pytorch.callbacks import ModelCheckpoint

from mot_lightning.errors import NotWritten, say
from mot_lightning.runs.atomic import replacing
from mot_lightning.runs.find import BEST, LAST
from mot_lightning.runs.integrity import is_intact, recorded_digest
from mot_lightning.signals import Interrupted, shielded
from mot_lightning.training.divergence import Diverged, check_weights


class Checkpoints(ModelCheckpoint):
    """`checkpoints/best.ckpt` by validation loss and `checkpoints/last.ckpt`, in the run's folder.

    `last.ckpt` is written after each validation and when an exception ends the run, never with NaN or infinite weights.
    It holds the digest of `best.ckpt`, by which a resumed run knows the file again.
    """

    def __init__(self) -> None:
        super().__init__(
            monitor="val/loss", filename="best", save_top_k=1, save_last=True, enable_version_counter=False
        )
        self.updating = -1
        self.best_digest: str | None = None  # None while best.ckpt is written: it cannot hold its own
        self._resumed_from: Path | None = None
        self._is_global_zero = True

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        self.dirpath = str(Path(trainer.default_root_dir) / "checkpoints")
        super().setup(trainer, pl_module, stage)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "best_digest": self.best_digest}

    def on_load_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        fits = trainer.state.fn == "fit" and trainer.ckpt_path
        self._resumed_from = Path(trainer.ckpt_path) if fits else None
        self._is_global_zero = trainer.is_global_zero

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Copy the old run's best checkpoint into this run's folder; it stays the best until this run beats it.

        It is looked for beside the checkpoint that is resumed, and taken if it is the one that this checkpoint knows;
        a path in the state is never followed.
        """
        score = state_dict["best_model_score"]
        if score is None or self._resumed_from is None:
            return
        assert self.dirpath is not None
        digest = state_dict.get("best_digest", "")
        source = self._resumed_from.with_name(BEST) if digest is not None else self._resumed_from
        best = Path(self.dirpath) / BEST
        if not is_intact(source) or (digest is not None and recorded_digest(source) != digest):
            say(
                f"{source} is missing or not the best checkpoint that {self._resumed_from} knows: "
                "the best of this run begins anew",
                file=sys.stderr,
            )
            return
        if self._is_global_zero and source.resolve() != best.resolve():
            with source.open("rb") as original, replacing(best) as file:
                shutil.copyfileobj(original, file)
        self.best_digest = recorded_digest(source)
        self.best_model_path = self.kth_best_model_path = str(best)
        self.best_model_score = self.kth_value = score
        self.best_k_models = {str(best): score}

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        self.updating = trainer.global_step  # until the trainer has counted the step, its weights are of neither

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        super().on_validation_end(trainer, pl_module)
        if not self._should_save_on_train_epoch_end(trainer):
            self._save_last_too(trainer)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        super().on_train_epoch_end(trainer, pl_module)
        if self._should_save_on_train_epoch_end(trainer):
            self._save_last_too(trainer)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        self.save_last_state(trainer)

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        check_weights(pl_module, trainer.global_step)

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        if isinstance(exception, Diverged):
            return
        # a rank that fails alone must not wait for the others to save with it
        may_save = trainer.world_size == 1 or (isinstance(exception, Interrupted) and exception.all_ranks)
        if trainer.state.fn == "fit" and trainer.optimizers and trainer.global_step == self.updating:
            say(f"last.ckpt is not written: the run ended inside step {self.updating + 1}", file=sys.stderr)
        elif trainer.state.fn == "fit" and trainer.optimizers and may_save:
            try:
                self._write_last(trainer)
            except Diverged as diverged:  # the original exception propagates
                say(f"last.ckpt is not written: {diverged}", file=sys.stderr)

    def update(self, trainer: Any) -> None:
        """Write the checkpoints after a validation outside of training."""
        self._save_topk_checkpoint(trainer, self._monitor_candidates(trainer))
        self.save_last_state(trainer)

    def _save_checkpoint(self, trainer: Any, filepath: str) -> None:
        is_best = filepath == self.best_model_path
        if is_best:
            self.best_digest = None
        super()._save_checkpoint(trainer, filepath)
        if is_best and trainer.is_global_zero:
            self.best_digest = recorded_digest(Path(filepath))

    def save_last_state(self, trainer: Any) -> None:
        """Write `last.ckpt`, without being interrupted."""
        assert self.dirpath is not None
        if trainer.fast_dev_run:  # writes no checkpoint
            return
        with shielded():
            trainer.save_checkpoint(Path(self.dirpath) / LAST)

    def _save_last_too(self, trainer: Any) -> None:
        """Write `last.ckpt` where the best has not improved; Lightning writes it only where it wrote the best."""
        if not self._should_skip_saving_checkpoint(trainer):
            self._save_last_checkpoint(trainer, self._monitor_candidates(trainer))

    def _write_last(self, trainer: Any) -> None:
        """`save_last_state` after an exception, which a full disk does not replace."""
        if isinstance(sys.exception(), NotWritten):  # it would fail again
            return
        try:
            self.save_last_state(trainer)
        except NotWritten as error:
            say(f"{LAST} is not written: {error}", file=sys.stderr)
