"""The table at the end: how good the model is per modality and across modalities, and what it costs."""

from collections.abc import Mapping, Sequence

from mot_lightning.evaluation.evaluate import standard_error
from mot_lightning.evaluation.tasks import Task


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True)))
        for row in rows
    ]
    return [lines[0], "-" * len(lines[0]), *lines[1:], ""]


def table(metrics: Mapping[str, float], modalities: Sequence[str], tasks: Sequence[Task]) -> str:
    """Two tables as text: modalities with their losses and costs, tasks with their accuracies."""
    own = {"loss", "bits_per_byte", "perplexity"}
    rows = [["modality", "test loss", "", "active parameters", "forward MFLOP/token"]]
    for name in modalities:
        other = [
            f"{value:.3f} {quantity.replace('_', ' ')}"
            for quantity in sorted(own - {"loss"})
            if (value := metrics.get(f"test/{name}/{quantity}")) is not None
        ]
        rows.append(
            [
                name,
                f"{metrics.get(f'test/{name}/loss', float('nan')):.3f}",
                " ".join(other),
                f"{metrics.get(f'model/{name}/active_parameters', 0):,}",
                f"{metrics.get(f'model/{name}/forward_flops_per_token', 0) / 1e6:.2f}",
            ]
        )
    lines = _aligned(rows)
    rows = [["task", "right", "guided", "judge on real", "samples", "Frechet", "guided"]]
    for task in tasks:
        stem = f"test/{task.target}/{task.name}"
        if stem not in metrics:
            continue
        n = int(metrics[f"{stem}_samples"])
        fid = [f"test/{task.target}/fid{s}[{task.reference.name}]" if task.reference else "" for s in ("", "_guided")]
        rows.append(
            [
                task.title,
                f"{metrics[stem]:.3f} ±{standard_error(metrics[stem], n):.3f}",
                f"{metrics[stem + '_guided']:.3f}" if stem + "_guided" in metrics else "",
                f"{metrics[stem + '_real']:.3f}" if stem + "_real" in metrics else "",
                str(n),
                *(f"{metrics[key]:.2f}" if key in metrics else "" for key in fid),
            ]
        )
    if len(rows) > 1:
        lines += _aligned(rows)
    lines.append(f"parameters in all: {metrics.get('model/parameters', 0):,}")
    if "fit/seconds" in metrics:
        lines.append(f"training: {metrics['fit/seconds']:.0f} s, peak memory {metrics['fit/peak_rss_mb']:.0f} MB")
    return "\n".join(lines)
