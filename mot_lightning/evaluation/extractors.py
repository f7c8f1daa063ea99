"""What a metric sees media through: the class of its network or judge, and the hash of its weights."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torchmetrics import Metric

from mot_lightning.codecs.pretrained import content_hash
from mot_lightning.evaluation.tasks import Task


def extractors_of(tasks: Sequence[Task]) -> dict[str, dict[str, Any]]:
    """By target and metric, of the metrics that have weights: their class, and class and sha256 of what has these."""
    return {
        f"{task.target}/{name}": {"metric": _name(metric), **parts}
        for task in tasks
        for name, metric in task.metrics.items()
        if (parts := _parts(metric))
    }


def _parts(metric: Metric) -> dict[str, Any]:
    networks = {name: one for name, one in metric.named_children() if one.state_dict()}
    judge = getattr(metric, "judge", None)
    judges = {} if judge is None or isinstance(judge, type) else {"judge": judge}
    parts: dict[str, Any] = {}
    for name, one in {**networks, **judges}.items():
        weights = one.state_dict() if isinstance(one, nn.Module) else _weights(one, set())
        parts[name] = {"class": _name(one), **({"sha256": content_hash(weights)} if weights else {})}
    return parts


def _name(value: Any) -> str:
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{named.__module__}.{named.__qualname__}"


def _weights(value: Any, seen: set[int]) -> Any:
    """Arrays, tensors, numbers and texts below an object, as nested mappings; None if it has none."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
        return torch.from_numpy(np.ascontiguousarray(value))
    if isinstance(value, torch.Tensor | int | float | str | bool | np.generic):
        return value
    if id(value) in seen or (callable(value) and not hasattr(value, "__dict__")):
        return None
    seen.add(id(value))
    if isinstance(value, nn.Module):
        return dict(value.state_dict())
    if isinstance(value, list | tuple):
        value = dict(enumerate(value))
    members = value if isinstance(value, Mapping) else getattr(value, "__dict__", {})
    below = {str(key): _weights(item, seen) for key, item in members.items()}
    return {key: item for key, item in below.items() if item is not None} or None
