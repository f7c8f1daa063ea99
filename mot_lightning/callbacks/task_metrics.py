"""The metrics of tasks while training: how good samples are, beside how low losses are."""

from typing import Any

from lightning.pytorch import Callback
from lightning.pytorch.utilities.seed import isolate_rng

from mot_lightning.callbacks.report import Report
from mot_lightning.callbacks.stop_on_signal import stops
from mot_lightning.errors import ConfigError, require, say
from mot_lightning.evaluation.chosen import available, with_chosen, with_task_names
from mot_lightning.evaluation.evaluate import measured
from mot_lightning.evaluation.run import run_task
from mot_lightning.evaluation.tasks import Task
from mot_lightning.module import MoTModule
from mot_lightning.runs.best_effort import best_effort
from mot_lightning.training.sharding import summon_full_params


class TaskMetrics(Callback):
    """Logs `val/<target>/<name>` at validations: the metrics of the data's tasks and those of `report.metrics`.

    Samples are of the averaged weights, without guidance. Loggers alone get the values.

    Args:
        every_n_steps: at the first validation after so many steps; null takes each validation.
        prompts: maximum prompts of a task; null takes all.
    """

    def __init__(self, every_n_steps: int | None = None, prompts: int | None = 100) -> None:
        for name, value in (("every_n_steps", every_n_steps), ("prompts", prompts)):
            require(name, value, "at least 1, or null", value is None or value >= 1)
        self.every_n_steps, self.prompts = every_n_steps, prompts
        self.tasks: list[Task] | None = None

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        if stage == "fit" and not (isinstance(pl_module, MoTModule) and trainer.datamodule):
            raise ConfigError("trainer.callbacks has TaskMetrics, wanted it where a model trains on a datamodule")

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        if trainer.sanity_checking or trainer.state.fn != "fit" or not self._is_due(trainer):
            return
        with summon_full_params(pl_module.ema_model):
            if trainer.is_global_zero:
                with best_effort("the metrics of tasks"), isolate_rng():
                    self._log(trainer, pl_module)

    def _is_due(self, trainer: Any) -> bool:
        """Whether a multiple of `every_n_steps` lies between the last validation and this one; it needs no state."""
        if self.every_n_steps is None:
            return True
        last = trainer.global_step - max(1, trainer.val_check_batch // trainer.accumulate_grad_batches)
        return bool(trainer.global_step // self.every_n_steps > last // self.every_n_steps)

    def _log(self, trainer: Any, pl_module: Any) -> None:
        if self.tasks is None:
            self.tasks = self._loaded(trainer, pl_module)
        values: dict[str, float] = {}
        for task in self.tasks:
            if stops(trainer):
                return
            media = run_task(pl_module.pipeline, task, guidance=1.0, seed=0)
            named = measured(task.metrics, media, task.targets_of)
            values |= {f"val/{task.target}/{name}": value for name, value in named.items()}
        for logger in trainer.loggers:
            logger.log_metrics(values, trainer.global_step)

    def _loaded(self, trainer: Any, pl_module: Any) -> list[Task]:
        """The tasks that the model can do and that have metrics."""
        chosen = next((one.metrics for one in trainer.callbacks if isinstance(one, Report)), {})
        tasks = trainer.datamodule.tasks("val")
        tasks = [task.subset(self.prompts) for task in tasks] if self.prompts else tasks
        tasks, missing = available(with_task_names(with_chosen(tasks, chosen, pl_module.codecs), chosen))
        for name, reason in missing.items():
            say(f"val/{name} is unavailable: {reason}")
        return [task for task in tasks if task.metrics and task.modalities() <= {*pl_module.codecs}]
