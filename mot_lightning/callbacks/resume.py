"""Exact resumption: a checkpoint written at any moment says the steps taken, and whether their validation was made.

Lightning's own progress counters are mid-step when an exception saves a checkpoint: a batch counts twice, and a
validation is forgotten or made at the wrong step. What is counted here is the optimizer's steps.
"""

from typing import Any

from lightning.pytorch import Callback


class ExactResume(Callback):
    """Makes a resumed run's validations fall where an uninterrupted run's do."""

    def __init__(self) -> None:
        self.validated = 0  # the step of the last validation that was made whole

    def state_dict(self) -> dict[str, Any]:
        return {"validated": self.validated}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.validated = state_dict["validated"]

    def on_validation_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        self.validated = trainer.global_step

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        batches = trainer.global_step * trainer.accumulate_grad_batches
        loop = checkpoint["loops"]["fit_loop"]
        loop["epoch_loop.state_dict"]["_batches_that_stepped"] = trainer.global_step
        for name, number in (("epoch_loop.batch_progress", batches), ("epoch_loop.val_loop.batch_progress", 0)):
            for span in ("total", "current"):
                loop[name][span] = dict.fromkeys(loop[name][span], number)

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """The validation that was due when the run ended, and was not made."""
        step = trainer.global_step
        due = (
            trainer.enable_validation and step and not step * trainer.accumulate_grad_batches % trainer.val_check_batch
        )
        if due and self.validated != step:
            trainer.validating = True
            trainer.fit_loop.epoch_loop.val_loop.run()
            trainer.training = True
