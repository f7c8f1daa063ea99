"""The table at the end of a test: losses and costs by modality, metrics by task."""

from collections.abc import Mapping, Sequence
from typing import Any

from mot_lightning.evaluation.tasks import Task
from mot_lightning.media.table import aligned

QUANTITIES = ("bits_per_byte", "perplexity")  # shown beside a modality's loss


def tables(metrics: Mapping[str, float], modalities: Sequence[str], tasks: Sequence[Task]) -> list[list[list[str]]]:
    """The rows of each table, the first its head: modalities with losses and costs, then tasks with metrics if any."""
    rows = [["modality", "test loss", "", "active parameters", "forward MFLOP/token"]]
    for name in modalities:
        quantities = [
            f"{value:.3f} {quantity.replace('_', ' ')}"
            for quantity in QUANTITIES
            if (value := metrics.get(f"test/{name}/{quantity}")) is not None
        ]
        rows.append(
            [
                name,
                "none" if (loss := metrics.get(f"test/{name}/loss")) is None else f"{loss:.3f}",
                " ".join(quantities),
                f"{metrics.get(f'model/{name}/active_parameters', 0):,}",
                f"{metrics.get(f'model/{name}/forward_flops_per_token', 0) / 1e6:.2f}",
            ]
        )
    by_modality = rows
    rows = [["task", "metric", "value", "guided", "on real media", "samples"]]
    for task in tasks:
        for name, metric in task.metrics.items():
            key = f"test/{task.target}/{name}"
            if key not in metrics:
                continue
            value, samples = metrics[key], int(metrics[f"{key}_samples"])
            standard_error: Any = getattr(metric, "standard_error", None)
            error = f" ±{standard_error(value, samples):.3f}" if standard_error else ""
            variants = [
                f"{metrics[key + suffix]:.3f}" if key + suffix in metrics else "" for suffix in ("_guided", "_real")
            ]
            rows.append([task.title, name, f"{value:.3f}{error}", *variants, str(samples)])
    return [by_modality, *([rows] if len(rows) > 1 else [])]


def table(metrics: Mapping[str, float], modalities: Sequence[str], tasks: Sequence[Task]) -> str:
    """The tables as text, and below them what the whole model took, and its training if `metrics` have it."""
    lines = [line for rows in tables(metrics, modalities, tasks) for line in aligned(rows)]
    lines.append(f"parameters in all: {metrics.get('model/parameters', 0):,}")
    if "fit/seconds" in metrics:
        lines.append(f"training: {metrics['fit/seconds']:.0f} s, peak memory {metrics['fit/peak_rss_mb']:.0f} MB")
    return "\n".join(lines)
