"""Metrics of a task's media as rows of a card: a value, its number of samples and its interval."""

import copy
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat, dim_zero_sum

from mot_lightning.config.hints import did_you_mean
from mot_lightning.errors import ConfigError
from mot_lightning.evaluation.evaluate import without_ranks
from mot_lightning.evaluation.metrics import (
    BLEU,
    ChrF,
    CIDErD,
    ExactMatch,
    FrechetDistance,
    KernelDistance,
    Precision,
    Recall,
    RougeL,
)
from mot_lightning.evaluation.rows import Row, unavailable
from mot_lightning.evaluation.tasks import Task

GROUPS, RESAMPLES = 100, 200
MAX_STATE = 2**22  # numbers; a metric with more, such as 2048 x 2048 of a covariance, has no interval
MAX_LISTED = 2000  # media of a metric that keeps lists alone, whose time may grow with their square
REAL = "real"  # the same metric of real media
NORMAL = 1.96  # standard errors on either side of a 95 % interval


def task_rows(task: Task, media: Sequence[Any], guidance: float, seed: int) -> list[Row]:
    """The metrics of a task on its generated media and, without guidance, on its real ones."""
    variant = "guided" if guidance != 1 else ""
    rows = []
    for name, metric in task.metrics.items():
        try:
            targets = task.targets_of(metric)
        except ValueError as error:
            rows.append(unavailable("tasks", task.title, name, str(error)))
            continue
        rows.append(measure(metric, media, targets, (task.title, name, variant), seed))
    if task.real is not None and guidance == 1:
        rows += [measure(one, *task.real, (task.title, name, REAL), seed) for name, one in task.absolute.items()]
    return rows


def with_defaults(task: Task) -> Task:
    """The task with the metrics that it has without asking for them."""
    return replace(task, metrics={**default_metrics(task), **task.metrics})


def restricted(tasks: Sequence[Task], names: Sequence[str]) -> list[Task]:
    """The tasks that have some of these metrics, without others.

    Raises:
        ConfigError: no task has a metric of a name.
    """
    known = list(dict.fromkeys(name for task in tasks for name in task.metrics))
    for name in names:
        if name not in known:
            close = did_you_mean(name, known) or f", wanted some of {', '.join(known) or 'none: no task is measured'}"
            raise ConfigError(f"--metrics has {name!r}{close}")
    some = [replace(task, metrics={name: one for name, one in task.metrics.items() if name in names}) for task in tasks]
    return [task for task in some if task.metrics]


def default_metrics(task: Task) -> dict[str, Metric]:
    """Metrics beside the task's: of texts with real ones in their place, and of images with a Frechet distance.

    Those of images use its extractor and are named after it: "kid[digits]" beside "fid[digits]".
    """
    of_images: dict[str, Metric] = {}
    for name, metric in task.metrics.items():
        if isinstance(metric, FrechetDistance):
            classes: dict[str, Any] = {"kid": KernelDistance, "precision": Precision, "recall": Recall}
            suffix = name.removeprefix("fid")
            of_images |= {f"{kind}{suffix}": one(metric.inception, metric.reference) for kind, one in classes.items()}
    return of_images | _of_texts(task)


def _of_texts(task: Task) -> dict[str, Metric]:
    if not task.references or not all(isinstance(reference, str) for reference in task.references):
        return {}
    return {"BLEU": BLEU(), "chrF": ChrF(), "ROUGE-L": RougeL(), "CIDEr-D": CIDErD(), "exact match": ExactMatch()}


def measure(
    metric: Metric,
    media: Sequence[Any],
    targets: Sequence[Any],
    name: tuple[str, str, str],
    seed: int,
    section: str = "tasks",
) -> Row:
    """The row of one metric; if it cannot be computed, the row says why.

    Args:
        name: of the task or modality, of the metric, and what sets this row apart from another of both.
    """
    of, quantity, variant = name
    quantity = f"{quantity}, {variant}" if variant else quantity
    n, fewest = len(media), getattr(metric, "min_samples", 1)
    if n < fewest:
        return unavailable(section, of, quantity, f"{n} samples, wanted at least {fewest}", n)
    try:
        with torch.random.fork_rng(devices=[]):  # some metrics draw subsets
            torch.manual_seed(seed)
            without_ranks(metric).reset()
            metric.update(media, targets)
            value = float(metric.compute())
            finite = math.isfinite(value)
            low, high = _interval(metric, value, media, targets, seed) if finite else (math.nan, math.nan)
    except Exception as error:  # of libraries and of users
        kind = "" if isinstance(error, ValueError | ImportError) else f"{type(error).__name__}: "
        return unavailable(section, of, quantity, f"{kind}{' '.join(str(error).split())}", n)
    comparable = getattr(metric, "comparable_samples", 0)
    note = f"of fewer than {comparable:,} samples, not comparable with published values" if n < comparable else ""
    return Row(section, of, quantity, value, n, low, high, note)


def _interval(
    metric: Metric, value: float, media: Sequence[Any], targets: Sequence[Any], seed: int
) -> tuple[float, float]:
    """A normal interval, inside the metric's bounds: percentiles would carry the bias of a distance."""
    error: Any = getattr(metric, "standard_error", None)
    width = NORMAL * (error(value, len(media)) if error else _bootstrapped(metric, media, targets, seed))
    if math.isnan(width):
        return math.nan, math.nan
    lowest, highest = (getattr(metric, f"plot_{end}_bound", None) for end in ("lower", "upper"))
    # a bound of plots alone, where the value is beyond it: an error rate may be above 1
    low = value - width if lowest is None or value < lowest else max(lowest, value - width)
    return low, value + width if highest is None or value > highest else min(highest, value + width)


def _bootstrapped(metric: Metric, media: Sequence[Any], targets: Sequence[Any], seed: int) -> float:
    """The standard error of a metric whose states are sums or lists, by drawing groups of samples again; else NaN."""
    groups = np.array_split(np.arange(len(media)), min(GROUPS, len(media)))
    fixed = [name for name in metric._defaults if name.startswith(getattr(metric, "fixed_states", "\0"))]
    drawn = [name for name in metric._defaults if name not in fixed]
    size = sum(state.numel() for name in drawn if isinstance(state := getattr(metric, name), torch.Tensor))
    merged = all(
        isinstance(getattr(metric, name), list) or metric._reductions[name] in (dim_zero_sum, dim_zero_cat)
        for name in drawn
    )
    merged = merged and getattr(metric, "resampled", True) and (size > 0 or len(media) <= MAX_LISTED)
    if len(groups) < 2 or not merged or size * len(groups) > MAX_STATE:
        return math.nan
    states = []
    for group in groups:
        metric.reset()
        metric.update([media[i] for i in group], [targets[i] for i in group])
        states.append({name: copy.deepcopy(getattr(metric, name)) for name in drawn})
    values = []
    for indices in np.random.default_rng(seed).integers(len(groups), size=(RESAMPLES, len(groups))):
        metric.reset()
        metric.update([media[0]], [targets[0]])  # `compute` warns of a metric without an update
        for name in drawn:
            parts = [states[i][name] for i in indices]
            lists = isinstance(parts[0], list)
            setattr(metric, name, [x for part in parts for x in part] if lists else torch.stack(parts).sum(0))
        metric._computed = None
        values.append(float(metric.compute()))
    return float(np.std(values, ddof=1))
