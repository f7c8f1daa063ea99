"""How much memory a forward pass keeps for its backward pass, on one device without sharding."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from mot_lightning.analysis.ledger.memory import bytes_of
from mot_lightning.model import MixtureOfTransformers
from mot_lightning.sequence import InterleavedBatch


def activation_bytes(
    model: MixtureOfTransformers, batch: InterleavedBatch, precision: AbstractContextManager[Any] | None = None
) -> int:
    """Bytes that a forward pass on the CPU keeps for its backward pass, of one batch, whatever runs compiled later.

    Args:
        precision: context of the forward pass, as of mixed precision.
    """
    settings = model.backbone.settings
    with ExitStack() as stack:
        stack.callback(setattr, model.backbone, "settings", settings)
        model.backbone.settings = replace(settings, attention="auto")  # "flex" has no gradients on the CPU
        stack.enter_context(torch.compiler.set_stance("force_eager"))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(precision or nullcontext())
        kept = stack.enter_context(_kept_by(model))
        model(batch)
    return _bytes_kept(kept, model, batch)


def watch_forward(model: MixtureOfTransformers, batch: InterleavedBatch, report: Callable[[int], None]) -> None:
    """Report the bytes that the next forward pass, which is of this batch, keeps; it computes nothing more."""
    stack = ExitStack()
    kept: dict[int, Tensor] = {}

    def begin(*_: Any) -> None:
        nonlocal kept
        kept = stack.enter_context(_kept_by(model))

    def end(*_: Any) -> None:
        stack.close()
        report(_bytes_kept(kept, model, batch))
        kept.clear()

    stack.callback(model.register_forward_pre_hook(begin).remove)
    stack.callback(model.register_forward_hook(end, always_call=True).remove)


@contextmanager
def _kept_by(model: MixtureOfTransformers) -> Iterator[dict[int, Tensor]]:
    """By storage, all tensors that forward passes in this context keep."""
    kept: dict[int, Tensor] = {}  # holding the tensors keeps their storages apart

    def keep(x: Tensor) -> Tensor:
        kept[x.untyped_storage()._cdata] = x.detach()
        return x

    def keep_inputs(layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        for x in inputs[0]:
            keep(x)

    with ExitStack() as stack:
        if model.backbone.settings.activation_checkpointing:  # it keeps the inputs of layers itself
            for layer in model.backbone.layers:
                stack.callback(layer.register_forward_pre_hook(keep_inputs).remove)
        stack.enter_context(torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x))
        yield kept


def _bytes_kept(kept: dict[int, Tensor], model: MixtureOfTransformers, batch: InterleavedBatch) -> int:
    """Bytes without those of weights and of the batch."""
    given = [*model.parameters(), *model.buffers(), *(x for part in batch.by_modality.values() for x in part)]
    theirs = {x.untyped_storage()._cdata for x in given}
    return bytes_of(x for storage, x in kept.items() if storage not in theirs)
