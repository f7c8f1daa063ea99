"""The base of telemetry that looks at a batch once more where it logs: training is bitwise as without it."""

from abc import abstractmethod
from typing import Any

from lightning.pytorch import Callback
from lightning.pytorch.utilities.seed import isolate_rng

from mot_lightning.sequence import InterleavedBatch
from mot_lightning.training.metrics import is_logged, log_row


class Probe(Callback):
    """Logs what `measure` gives for the last batch of a step, with the losses; of several ranks, that of rank 0.

    All ranks measure, as the weights may be sharded.
    """

    @abstractmethod
    def measure(self, pl_module: Any, batch: InterleavedBatch) -> dict[str, float]:
        """Values by name, without `train/`; the model's gradients and the state of its training stay as they are."""

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        step = trainer.global_step
        if not is_logged(trainer, step) or trainer.fit_loop._should_accumulate():
            return
        training = pl_module.model.training
        with isolate_rng():
            pl_module.model.eval()
            try:
                values = self.measure(pl_module, batch)
            finally:
                pl_module.model.train(training)
        log_row(pl_module, {f"train/{name}": value for name, value in values.items()}, step)
