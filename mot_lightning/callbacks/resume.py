"""Exact resumption: a checkpoint from any moment records the steps taken and whether their validation was finished.

Lightning's progress counters are mid-step when an exception saves a checkpoint: one batch is counted twice, and a
validation is skipped or runs at the wrong step. This callback counts the batches of finished optimizer steps instead.
"""

from typing import Any

from lightning.pytorch import Callback


class ExactResume(Callback):
    """Makes a resumed run validate at the same steps as an uninterrupted one."""

    def __init__(self) -> None:
        self.validated = 0  # the step of the last finished validation
        self.step, self.batches = 0, 0  # optimizer steps, and all their batches

    def state_dict(self) -> dict[str, Any]:
        return {"validated": self.validated}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.validated = state_dict["validated"]

    def on_load_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """A run without epochs counts as if all steps had had as many batches as they have now."""
        step, progress = checkpoint["global_step"], checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
        if trainer.limit_train_batches == 1.0:
            batches = step * trainer.accumulate_grad_batches
            progress.update({span: dict.fromkeys(progress[span], batches) for span in ("total", "current")})
        self.step, self.batches = step, progress["total"]["ready"]

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        self._count(trainer)

    def _count(self, trainer: Any) -> None:
        if trainer.global_step != self.step:
            self.step, self.batches = trainer.global_step, trainer.fit_loop.epoch_loop.batch_progress.total.ready

    def on_validation_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        self.validated = trainer.global_step

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        self._count(trainer)
        loop = checkpoint["loops"]["fit_loop"]
        loop["epoch_loop.state_dict"]["_batches_that_stepped"] = trainer.global_step
        progress, validation = loop["epoch_loop.batch_progress"], loop["epoch_loop.val_loop.batch_progress"]
        before_epoch = progress["total"]["ready"] - progress["current"]["ready"]
        progress["total"] = dict.fromkeys(progress["total"], self.batches)
        progress["current"] = dict.fromkeys(progress["current"], self.batches - before_epoch)
        if self.batches - before_epoch == trainer.num_training_batches:  # the epoch is over, though not its hooks
            for span in ("total", "current"):
                loop["epoch_progress"][span]["processed"] = loop["epoch_progress"][span]["ready"]
        for span in ("total", "current"):
            validation[span] = dict.fromkeys(validation[span], 0)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        trainer.fit_loop.epoch_loop._batches_that_stepped = trainer.global_step  # the step of a test's metrics

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Run the validation that was due when the run ended but was not finished."""
        step = trainer.global_step
        due = (
            trainer.enable_validation and step and not step * trainer.accumulate_grad_batches % trainer.val_check_batch
        )
        if due and self.validated != step:
            trainer.validating = True
            trainer.fit_loop.epoch_loop.val_loop.run()
            trainer.training = True
