"""What frozen weights save: the gradients that a training step does not compute."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from mot_lightning.backbone.moe import experts_of
from mot_lightning.model import MixtureOfTransformers


@contextmanager
def saved_flops(model: MixtureOfTransformers) -> Iterator[list[float]]:
    """FLOPs that the backward passes of forward passes in this context save: the gradients of frozen matrices.

    Those of their inputs are computed, in the first layer too, as the embeddings of all towers are one tensor. Only the
    condition of adaptive norms needs none if its objective is frozen as well; this small saving is not counted.
    """
    saved: list[float] = []

    def of_matrix(module: Any, args: tuple[Tensor], output: Tensor) -> None:
        saved.append(2 * module.weight.numel() * args[0].numel() / module.in_features)

    def of_experts(module: Any, args: tuple[Tensor], output: Tensor) -> None:
        expert = sum(weight[0].numel() for weight in module.experts.parameters())
        saved.append(2 * expert * module.active * len(args[0]))

    matrices = [one for one in model.modules() if isinstance(one, nn.Linear) and not one.weight.requires_grad]
    mixtures = [one for one in experts_of(model).values() if not one.router.weight.requires_grad]
    handles = [one.register_forward_hook(of_matrix) for one in matrices]
    handles += [one.register_forward_hook(of_experts) for one in mixtures]
    try:
        yield saved
    finally:
        for handle in handles:
            handle.remove()
