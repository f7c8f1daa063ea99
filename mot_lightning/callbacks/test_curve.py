"""The test split while training, so that what is chosen on validation, such as a learning rate, is scored on test."""

from itertools import islice
from typing import Any

import torch
from lightning.pytorch import Callback
from lightning.pytorch.utilities.seed import isolate_rng

from mot_lightning.errors import ConfigError
from mot_lightning.module import MoTModule


class TestCurve(Callback):
    """Logs `test/...` at each validation while training: as `test` would for the averaged weights of that step.

    It costs as much as a validation on the test split, of which `trainer.limit_test_batches` is taken. Loggers alone
    get the values: nothing can stop on them, or choose a checkpoint by them.
    """

    def __init__(self) -> None:
        self.batches: Any = None  # the loader, which keeps encoded media

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        if stage == "fit" and not (isinstance(pl_module, MoTModule) and trainer.datamodule):
            raise ConfigError("trainer.callbacks has TestCurve, wanted it where a model trains on a datamodule")

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        if self.batches is None:
            trainer.datamodule.setup("test")
            self.batches = trainer.datamodule.test_dataloader()
        limit, precision = trainer.limit_test_batches, trainer.precision_plugin
        count = limit if isinstance(limit, int) else int(limit * len(self.batches))
        with isolate_rng(), torch.no_grad():
            pl_module.on_test_epoch_start()
            for index, batch in enumerate(islice(self.batches, count)):
                on_device = trainer.strategy.batch_to_device(precision.convert_input(batch))
                with precision.test_step_context():
                    pl_module.test_step(on_device, index)
            row = pl_module.evaluated("test")
        for logger in trainer.loggers:
            logger.log_metrics(dict(row), trainer.global_step)
