"""How much memory training takes on one device without sharding: weights, gradients, optimizer and activations."""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten

from mot_lightning.model import MixtureOfTransformers
from mot_lightning.sequence import InterleavedBatch
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


def activation_bytes(
    model: MixtureOfTransformers, batch: InterleavedBatch, precision: AbstractContextManager[Any] | None = None
) -> int:
    """Bytes that a forward pass on the CPU keeps for its backward pass, of one batch, whatever runs compiled later.

    Args:
        precision: context of the forward pass, as of mixed precision.
    """
    settings = model.backbone.settings
    kept: dict[int, Tensor] = {}  # holding the tensors keeps their storages apart

    def keep(x: Tensor) -> Tensor:
        kept[x.untyped_storage()._cdata] = x.detach()
        return x

    def keep_inputs(layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        for x in inputs[0]:
            keep(x)

    with ExitStack() as stack:
        stack.callback(setattr, model.backbone, "settings", settings)
        model.backbone.settings = replace(settings, attention="auto")  # "flex" has no gradients on the CPU
        stack.enter_context(torch.compiler.set_stance("force_eager"))
        if settings.activation_checkpointing:  # it keeps the inputs of layers itself
            for layer in model.backbone.layers:
                stack.callback(layer.register_forward_pre_hook(keep_inputs).remove)
        stack.enter_context(torch.enable_grad())
        stack.enter_context(precision or nullcontext())
        stack.enter_context(torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x))
        model(batch)
    given = [*model.parameters(), *model.buffers(), *(x for part in batch.by_modality.values() for x in part)]
    theirs = {x.untyped_storage()._cdata for x in given}
    return bytes_of(x for storage, x in kept.items() if storage not in theirs)
