"""What a model costs as flat metrics, `model/<modality>/<quantity>`, for metrics.json."""

from mot_lightning.analysis.ledger.flops import costs
from mot_lightning.model import MixtureOfTransformers
from mot_lightning.parameters import total_parameters
from mot_lightning.sequence import InterleavedBatch


def cost_metrics(model: MixtureOfTransformers, batch: InterleavedBatch) -> dict[str, float]:
    """Parameters, FLOPs and contexts of a model, at the segment lengths of a batch."""
    metrics: dict[str, float] = {"model/parameters": total_parameters(model)}
    for name, cost in costs(model, batch).items():
        metrics[f"model/{name}/active_parameters"] = cost.parameters
        metrics[f"model/{name}/forward_flops_per_token"] = round(cost.flops)
        metrics[f"model/{name}/mean_context"] = round(cost.context, 1)
    return metrics
