"""The base of telemetry that looks at a batch once more where it logs: training is bitwise as without it."""

from abc import abstractmethod
from typing import Any, ClassVar

from lightning.pytorch import Callback
from lightning.pytorch.utilities.seed import isolate_rng

from mot_lightning.errors import ConfigError
from mot_lightning.sequence import InterleavedBatch
from mot_lightning.training.metrics import is_logged, log_row


class Probe(Callback):
    """Logs what `measure` gives for the last batch of a step, with the losses; of several ranks, that of rank 0.

    All ranks measure, as the weights may be sharded.
    """

    one_width: ClassVar[bool] = False  # whether hidden states of all towers are taken together

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Raises ConfigError if towers differ in width, and that cannot be."""
        if self.one_width:
            backbone = pl_module.model.backbone
            widths = {"+".join(tower): backbone.settings.size_of(tower)[0] for tower in backbone.towers}
            if len({*widths.values()}) > 1:
                seen = ", ".join(f"{name} {width}" for name, width in widths.items())
                raise ConfigError(f"backbone.towers has dim of {seen}, wanted equal ones with {type(self).__name__}")

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
