"""The progress bar of training, validation and test: steps done, steps a second, time left."""

import math
import sys
from typing import Any

from lightning.pytorch.callbacks import TQDMProgressBar

from mot_lightning.bar import Bar


class StepProgress(TQDMProgressBar):
    """Lightning's bar with `max_steps` as its total: the training data are one endless epoch.

    Args:
        refresh_rate: steps between two updates of the bar.
    """

    def __init__(self, refresh_rate: int = 10) -> None:
        super().__init__(refresh_rate=refresh_rate)

    def _bar(self, name: str, leave: bool = True, position: int = 0, **settings: Any) -> Bar:
        return Bar(
            desc=name,
            leave=leave,
            position=position,
            disable=self.is_disabled,
            dynamic_ncols=True,
            file=sys.stdout,
            bar_format=self.BAR_FORMAT,
            **settings,
        )

    def init_sanity_tqdm(self) -> Bar:
        return self._bar(self.sanity_check_description, leave=False)

    def init_train_tqdm(self) -> Bar:
        return self._bar("Training", smoothing=0)

    def init_predict_tqdm(self) -> Bar:
        return self._bar(self.predict_description, smoothing=0)

    def init_validation_tqdm(self) -> Bar:
        validates_only = self.trainer.state.fn == "validate"
        return self._bar(self.validation_description, leave=validates_only, position=0 if validates_only else 1)

    def init_test_tqdm(self) -> Bar:
        return self._bar(self.test_description)

    @property
    def total_train_batches(self) -> int | float:
        if self.trainer.max_steps < 0:
            return super().total_train_batches
        return self.trainer.max_steps * self.trainer.accumulate_grad_batches

    def get_metrics(self, trainer: Any, pl_module: Any) -> dict[str, Any]:
        metrics = trainer.progress_bar_metrics.items()
        return {name: f"{value:.3g}" for name, value in metrics}

    def on_train_start(self, trainer: Any, *_: Any) -> None:
        super().on_train_start()
        bar, total = self.train_progress_bar, self.total_train_batches
        bar.total = total if math.isfinite(total) else None
        # a run resumed inside an epoch does not start it again
        bar.initial = bar.n = trainer.fit_loop.epoch_loop.batch_progress.current.ready

    def on_train_epoch_start(self, trainer: Any, *_: Any) -> None:
        super().on_train_epoch_start(trainer)
        self.train_progress_bar.set_description("Training")
        if trainer.max_steps < 0:
            return
        self.train_progress_bar.initial = trainer.global_step * trainer.accumulate_grad_batches
