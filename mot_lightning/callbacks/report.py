"""The report after a test: measures every task, writes metrics.json and the page, and prints the table."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mot_lightning.analysis.ledger.ledger import take_ledger
from mot_lightning.analysis.ledger.metrics import cost_metrics
from mot_lightning.analysis.ledger.trained import run_figures
from mot_lightning.callbacks.totals import Totals
from mot_lightning.config.specs import Specs
from mot_lightning.errors import say
from mot_lightning.evaluation.chosen import available, with_chosen, with_task_names
from mot_lightning.evaluation.evaluate import evaluate_tasks
from mot_lightning.evaluation.table import table, tables
from mot_lightning.evaluation.tasks import Task
from mot_lightning.runs.atomic import write_json
from mot_lightning.runs.best_effort import best_effort
from mot_lightning.runs.page import TABLES, write_page
from mot_lightning.training.sharding import summon_full_params


class Report(Totals):
    """Writes `metrics.json`, flat as `stage/modality/quantity: number`, the ledger and the page, and prints the table.

    Args:
        guidance: classifier-free guidance scale of the guided metrics.
        seed: of all samples.
        prompts: maximum prompts of a task; null takes all, 0 skips the tasks.
        temperature: of tasks that sample ids; null takes the temperature of each task. A lower one gains accuracy and
            loses diversity, which the Frechet distance shows.
        metrics: metrics of each target modality beside those of the data's tasks: by modality and name, the class_path
            and init_args of a `torchmetrics.Metric`.
    """

    def __init__(
        self,
        guidance: float = 2.0,
        seed: int = 0,
        prompts: int | None = None,
        temperature: float | None = None,
        metrics: Specs | None = None,
    ) -> None:
        if not 0 <= guidance < math.inf:
            raise ValueError(f"report.guidance is {guidance}, wanted a number of 0 or more")
        if prompts is not None and prompts < 0:
            raise ValueError(f"report.prompts is {prompts}, wanted 0 or more, or null for all")
        if temperature is not None and not 0 <= temperature < math.inf:
            raise ValueError(f"report.temperature is {temperature}, wanted a number of 0 or more, or null")
        super().__init__()
        self.guidance, self.seed, self.prompts, self.temperature = guidance, seed, prompts, temperature
        self.metrics: dict[str, Any] = metrics or {}

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        super().on_train_end(trainer, pl_module)
        skipped_line = getattr(trainer.datamodule, "skipped_line", str)  # of a datamodule that is not ours: ""
        if (line := skipped_line()) and trainer.is_global_zero:
            say(line)

    def on_test_end(self, trainer: Any, pl_module: Any) -> None:
        with summon_full_params(pl_module.model, pl_module.ema_model):
            if trainer.is_global_zero:
                self._write(trainer, pl_module)

    def _write(self, trainer: Any, pl_module: Any) -> None:
        prompts = 1 if trainer.fast_dev_run and self.prompts is None else self.prompts
        tasks = [] if prompts == 0 else trainer.datamodule.tasks("test")
        if prompts:
            tasks = [task.subset(prompts) for task in tasks]
        if self.temperature is not None:
            tasks = [task.with_temperature(self.temperature) for task in tasks]
        tasks = with_task_names(with_chosen(tasks, self.metrics, pl_module.pipeline.codecs), self.metrics)
        tasks, missing = available(tasks)
        losses = {name: value.item() for name, value in trainer.callback_metrics.items() if name.startswith("test/")}
        batch = next(iter(trainer.datamodule.test_dataloader()))
        batch = pl_module.transfer_batch_to_device(batch, pl_module.device, 0)
        metrics: dict[str, Any] = {
            **losses,
            **evaluate_tasks(pl_module.pipeline, tasks, self.guidance, self.seed, bool(trainer.progress_bar_callback)),
            **cost_metrics(pl_module.model, batch),
            **self.fit,
        }
        folder = Path(trainer.default_root_dir)
        with best_effort("ledger.json"):
            write_json(folder / "ledger.json", run_figures(take_ledger(pl_module, [batch]), self.fit))
        with best_effort("the tables of the report"):
            write_json(folder / TABLES, tables(metrics, pl_module.modalities, tasks))
        write_metrics(folder, metrics)
        # a checkpoint brings the figures of its training, which is not this run's
        shown = {name: value for name, value in metrics.items() if self.started or not name.startswith("fit/")}
        say("\n" + table(shown, pl_module.modalities, tasks))
        files = {"page": folder / "index.html", "figures": folder / "metrics.json", "losses": folder / "metrics.csv"}
        if reason := why_no_metrics(tasks, pl_module.modalities, self.prompts):
            say(f"no task is measured: {reason}")
        say(*(f"test/{name} is unavailable: {reason}" for name, reason in missing.items()), end="\n" if missing else "")
        say(*closing_lines(trainer, **files, samples=folder / "samples"))


def why_no_metrics(tasks: Sequence[Task], modalities: Sequence[str], prompts: int | None) -> str:
    """Why a report has no metrics of tasks; empty if it has some."""
    if prompts == 0:
        return "report.prompts is 0"
    if not tasks:
        return "the data have no tasks of the test split"
    if any(task.modalities() <= {*modalities} and task.metrics for task in tasks):
        return ""
    if not any(task.metrics for task in tasks):
        return "the tasks of the data have no metrics"
    needed = "; ".join(f"{task.title} needs {', '.join(sorted(task.modalities()))}" for task in tasks)
    return f"the model has {', '.join(modalities)}, but {needed}, each with metrics"


def write_metrics(folder: Path, metrics: dict[str, Any]) -> None:
    """Write metrics.json and the page."""
    with best_effort("metrics.json"):
        write_json(folder / "metrics.json", metrics, indent=2)
    with best_effort("the page"):
        write_page(folder)


def closing_lines(trainer: Any, **paths: Path) -> list[str]:
    """The last lines of a command: the paths that exist, by name; or that it was a trial, which leaves no file."""
    if trainer.fast_dev_run:
        return ["trainer.fast_dev_run: a trial, whose figures say nothing of the model; no file is kept"]
    return [f"{name + ':':<9}{path}" for name, path in paths.items() if path.exists()]
