"""How many parameters a model has: in all, frozen, and for a token of one modality."""

from torch import nn

from mot_lightning.backbone.moe import MixtureOfExperts
from mot_lightning.model import MixtureOfTransformers


def total_parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def frozen_parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters() if not p.requires_grad)


def active_parameters(model: MixtureOfTransformers, name: str) -> int:
    """Parameters that a token of a modality uses: of embeddings one row, of experts those that process it."""
    count = 0
    for module in model.weights_of(name):
        tables = {id(m.weight) for m in module.modules() if isinstance(m, nn.Embedding)}
        # a tied table is also the head, which uses all of it
        tables -= {id(m.weight) for m in module.modules() if isinstance(m, nn.Linear)}
        mixtures = [m for m in module.modules() if isinstance(m, MixtureOfExperts)]
        visited = {id(p): m.active / m.settings.count for m in mixtures for p in m.experts.parameters()}
        for p in module.parameters():
            used = p.shape[-1] if id(p) in tables else p.numel()
            count += round(used * visited.get(id(p), 1))
    return count
