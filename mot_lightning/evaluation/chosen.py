"""Metrics that a config chooses, added to the tasks of a target; one that cannot be had says why, and others go on."""

import inspect
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from torchmetrics import Metric

from mot_lightning.codecs import Codec
from mot_lightning.config.classes import find_class
from mot_lightning.evaluation.metrics.adapted import Adapted, adapted
from mot_lightning.evaluation.metrics.pretrained import loading
from mot_lightning.evaluation.tasks import Task

Chosen = Mapping[str, Mapping[str, Any]]  # by modality and name: class_path and init_args
LINKED = ("reference", "sample_rate")  # arguments that the task and its codec give


class Unavailable(Metric):
    """Stands for a metric that cannot be had."""

    reference = ()  # so that it has no row of real media

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = reason

    def update(self, media: Sequence[Any], targets: Sequence[Any]) -> None:
        raise ValueError(self.reason)

    def compute(self) -> Any:
        raise ValueError(self.reason)


def with_chosen(tasks: Sequence[Task], chosen: Chosen, codecs: Mapping[str, Codec]) -> list[Task]:
    """The tasks with the metrics that are chosen for their targets."""
    shared: dict[tuple[str, str], Metric] = {}  # loaded, or tried, once for all tasks
    extended = []
    for task in tasks:
        metrics = dict(task.metrics)
        able = task.modalities() <= {*codecs}
        for name, spec in chosen.get(task.target, {}).items() if able else ():
            metric = shared.get((task.target, name))
            metric = _built(spec, task, codecs) if metric is None else metric
            if isinstance(metric, Unavailable) or not hasattr(metric, "reference"):
                shared[task.target, name] = metric
            metrics[name] = metric
        extended.append(replace(task, metrics=metrics))
    return extended


def available(tasks: Sequence[Task]) -> tuple[list[Task], dict[str, str]]:
    """The tasks without the metrics that cannot be had, and the reasons of these, by target and name."""
    reasons = {
        f"{task.target}/{name}": metric.reason
        for task in tasks
        for name, metric in task.metrics.items()
        if isinstance(metric, Unavailable)
    }
    return [
        replace(task, metrics={name: one for name, one in task.metrics.items() if not isinstance(one, Unavailable)})
        for task in tasks
    ], reasons


def with_task_names(tasks: Sequence[Task], chosen: Chosen) -> list[Task]:
    """The tasks, whose chosen metrics are named after them where several have one target: `text_to_image/clip`."""
    targets = Counter(task.target for task in tasks)

    def name(task: Task, metric: str) -> str:
        several = targets[task.target] > 1 and metric in chosen.get(task.target, {})
        return f"{task.slug}/{metric}" if several else metric

    return [replace(task, metrics={name(task, key): one for key, one in task.metrics.items()}) for task in tasks]


def _built(spec: Mapping[str, Any], task: Task, codecs: Mapping[str, Codec]) -> Metric:
    try:
        with loading():
            kind = adapted(_class(spec))
            arguments = {key: _value(value) for key, value in (spec.get("init_args") or {}).items()}
            accepted = inspect.signature(kind.__init__).parameters
            if "sample_rate" in accepted:
                arguments.setdefault("sample_rate", getattr(codecs[task.target].media_type, "sample_rate", None))
            if "reference" in accepted:
                arguments.setdefault("reference", _real(task))
            if "reset_real_features" in accepted:
                arguments.setdefault("reset_real_features", False)
            metric: Metric = kind(**arguments)
            if isinstance(metric, Adapted) and metric.of_sets:
                metric.reference = _real(task)
            return metric
    except Exception as error:  # of libraries, of users, and of the network
        kind_of_error = "" if isinstance(error, ValueError | ImportError) else f"{type(error).__name__}: "
        return Unavailable(f"{kind_of_error}{' '.join(str(error).split())}")


def _real(task: Task) -> Sequence[Any]:
    media = task.references if task.real is None else task.real[0]
    if not media:
        raise ValueError(f"task {task.title!r} has no real media to compare with")
    return media


def _class(spec: Mapping[str, Any]) -> Any:
    path = spec["class_path"]
    return find_class(path, [path.partition(".")[0]])  # checked before


def _value(value: Any) -> Any:
    """An argument, whose classes are built."""
    if isinstance(value, Mapping) and "class_path" in value:
        return _class(value)(**{key: _value(item) for key, item in (value.get("init_args") or {}).items()})
    if isinstance(value, Mapping):
        return {key: _value(item) for key, item in value.items()}
    return [_value(item) for item in value] if isinstance(value, list) else value
