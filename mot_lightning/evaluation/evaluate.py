"""Evaluation: samples every task of the data, with and without guidance, and computes its metrics.

Knows tasks and the names of metrics; the datamodule provides prompts and metrics.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torchmetrics import Metric

from mot_lightning.bar import Bar
from mot_lightning.evaluation.run import run_task
from mot_lightning.evaluation.tasks import Task, check_names
from mot_lightning.pipeline import MoTPipeline
from mot_lightning.runs.best_effort import best_effort


def evaluate_tasks(
    pipeline: MoTPipeline, tasks: Sequence[Task], guidance: float, seed: int, progress_bar: bool = True
) -> dict[str, Any]:
    """Metrics and sample counts by name; the suffixes are `_guided` (with guidance) and `_real` (on real media).

    Tasks without metrics are only to be looked at.
    """
    check_names(tasks)
    runs = runs_of(pipeline, [task for task in tasks if task.metrics], guidance)
    values: dict[str, Any] = {}
    total = sum(len(task.prompts) for task, _ in runs)
    with Bar(total=total, desc="Evaluating", unit="sample", disable=not (total and progress_bar)) as bar:
        for task, scale in runs:
            bar.set_postfix_str(task.title)
            media = run_task(pipeline, task, scale, seed, bar.update)
            prefix, suffix = f"test/{task.target}", "_guided" if scale != 1 else ""
            for name, value in measured(task.metrics, media, task.targets_of).items():
                values[f"{prefix}/{name}{suffix}"] = value
            if scale == 1:
                values |= {f"{prefix}/{name}_samples": len(media) for name in task.metrics}
                if task.real is not None:
                    real_media, labels = task.real
                    real = measured(task.absolute, real_media, lambda metric: labels)  # noqa: B023 (called at once)
                    values |= {f"{prefix}/{name}_real": value for name, value in real.items()}
    for name, objective in pipeline.model.objectives.items():
        if hasattr(objective, "steps"):
            values[f"test/{name}/steps"] = objective.steps
    for task, scale in runs:
        if scale != 1:
            values[f"test/{task.target}/guidance"] = scale
    return values


def runs_of(pipeline: MoTPipeline, tasks: Sequence[Task], guidance: float) -> list[tuple[Task, float]]:
    """The tasks that the model can do, each without guidance, then those that allow it with guidance."""
    tasks = [task for task in tasks if task.modalities() <= set(pipeline.codecs)]
    guided = [task for task in tasks if task.guided and pipeline.supports_guidance(task.target)]
    return [(task, 1.0) for task in tasks] + [(task, guidance) for task in guided if guidance != 1]


def measured(
    metrics: Mapping[str, Metric], media: Sequence[Any], targets_of: Callable[[Metric], Sequence[Any]]
) -> dict[str, float]:
    """The values of metrics by name, without those that fail, which are said, or need more media."""
    values = {}
    for name, metric in metrics.items():
        if len(media) < getattr(metric, "min_samples", 1):
            continue
        with best_effort(f"the metric {name}"):
            without_ranks(metric).reset()
            metric.update(media, targets_of(metric))
            values[name] = float(metric.compute())
    return values


def without_ranks(metric: Metric) -> Metric:
    """The metric, which from now on waits for no other rank: one samples and measures everything."""
    metric.distributed_available_fn = _not_distributed
    return metric


def _not_distributed() -> bool:
    return False
