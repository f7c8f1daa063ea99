"""How much memory lasts from step to step on one device without sharding: weights, gradients and optimizer."""

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten

from mot_lightning.model import MixtureOfTransformers
from mot_lightning.training.optimizer import OptimizerSettings


def bytes_of(tensors: Iterable[Tensor]) -> int:
    """Bytes of tensors; storage that several share counts once."""
    storages = {x.untyped_storage()._cdata: x.untyped_storage().nbytes() for x in tensors}
    return sum(storages.values())


def memory(model: MixtureOfTransformers, optimizer: OptimizerSettings) -> dict[str, int | None]:
    """Bytes of all that lasts from step to step; None where an optimizer cannot say."""
    weights = bytes_of([*model.parameters(), *model.buffers()])
    return {
        "weights": weights,
        "gradients": bytes_of(p for p in model.parameters() if p.requires_grad),
        "optimizer": optimizer_bytes(model, optimizer),
        "averaged weights": weights,
    }


def optimizer_bytes(model: MixtureOfTransformers, settings: OptimizerSettings) -> int | None:
    """Bytes of an optimizer's state after a step, which is taken on tensors without memory."""
    twin = _WithoutMemory(model)
    optimizer, _ = settings.build(twin, steps=1000, fused=False)
    for parameter in twin.parameters():
        parameter.grad = torch.empty_like(parameter) if parameter.requires_grad else None
    try:
        optimizer.step()
    except (RuntimeError, TypeError, NotImplementedError):  # one that reads values, or wants a closure
        return None
    leaves, _ = tree_flatten(optimizer.state_dict())
    return bytes_of(x for x in leaves if isinstance(x, Tensor))


class _WithoutMemory(nn.Module):
    """The parameters of a model, by name, on PyTorch's meta device."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.twins = {n: nn.Parameter(p.detach().to("meta"), p.requires_grad) for n, p in model.named_parameters()}

    def named_parameters(self, *_: Any, **__: Any) -> Iterator[tuple[str, nn.Parameter]]:
        return iter(self.twins.items())
