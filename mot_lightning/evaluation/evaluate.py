"""Evaluation: every task that the data declare, mapped over; judged, compared with real media, and counted.

Knows tasks and metrics' names; what is asked and who judges comes from the datamodule.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics.image.fid import FrechetInceptionDistance
from tqdm import tqdm

from mot_lightning.evaluation.ledger import costs, total_parameters
from mot_lightning.evaluation.run_task import run_task
from mot_lightning.evaluation.tasks import Reference, Task
from mot_lightning.module import MoTModule


def frechet_distance(reference: Reference, media: Sequence[Tensor]) -> float:
    """Frechet distance between real and made images, in the features of the reference's extractor."""
    distance = FrechetInceptionDistance(feature=reference.extractor)
    for images, real in ((reference.media, True), (media, False)):
        stacked = (torch.stack(list(images)) * 255).round().byte()
        distance.update(stacked.expand(-1, 3, -1, -1), real=real)
    return float(distance.compute())


def evaluate_tasks(module: MoTModule, tasks: Sequence[Task], guidance: float, seed: int) -> dict[str, Any]:
    """Accuracy of each task by its judge, with its sample count; `_guided` and `_real` beside it where they apply."""
    tasks = [task for task in tasks if task.modalities() <= set(module.modalities)]
    runs = [(task, 1.0) for task in tasks]
    if guidance != 1:
        runs += [(task, guidance) for task in tasks if task.guided and module.guides(task.target)]
    found: dict[str, Any] = {}
    total = sum(len(task.prompts) for task, _ in runs)
    with tqdm(total=total, desc="Judging", unit="sample", disable=not total) as bar:
        for task, scale in runs:
            bar.set_postfix_str(task.title)
            made = run_task(module, task, scale, seed, bar.update)
            suffix = "_guided" if scale != 1 else ""
            stem = f"test/{task.target}/{task.name}"
            found[f"{stem}{suffix}"] = _accuracy(task, made)
            if task.reference is not None and len(made) > 1:  # a covariance needs two
                key = f"test/{task.target}/fid{suffix}[{task.reference.name}]"
                found[key] = frechet_distance(task.reference, made)
            if not suffix:
                found[f"{stem}_samples"] = len(made)
                if task.real is not None:
                    media, labels = task.real
                    right = [a == b for a, b in zip(task.judge(media), labels, strict=True)]
                    found[f"{stem}_real"] = sum(right) / len(right)
    for name, objective in module.model.objectives.items():
        if hasattr(objective, "steps"):
            found[f"test/{name}/steps"] = objective.steps
    for task, scale in runs:
        if scale != 1:
            found[f"test/{task.target}/guidance"] = scale
    return found


def _accuracy(task: Task, made: Sequence[Any]) -> float:
    right = [a == b for a, b in zip(task.judge(made), task.labels, strict=True)]
    return sum(right) / len(right)


def ledger(module: MoTModule, batch: Any) -> dict[str, float]:
    """Parameters and FLOPs as flat metrics."""
    found: dict[str, float] = {"model/parameters": total_parameters(module.model)}
    for name, cost in costs(module.model, batch).items():
        found[f"model/{name}/active_parameters"] = cost.parameters
        found[f"model/{name}/forward_flops_per_token"] = round(cost.flops)
        found[f"model/{name}/mean_context"] = round(cost.context, 1)
    return found


def standard_error(share: float, n: int) -> float:
    """Of a share of n independent trials."""
    return math.sqrt(share * (1 - share) / n)
