"""How far hidden states of modalities lie apart: whether a linear classifier tells them, layer by layer."""

from typing import Any

import torch
from torch import Tensor

from mot_lightning.callbacks.telemetry.probe import Probe
from mot_lightning.sequence import InterleavedBatch

RIDGE = 1e-3  # of the features' mean variance


class Separability(Probe):
    """Logs `train/separability/layer<n>`: the accuracy of a linear classifier of modalities, averaged over modalities.

    The classifier is least squares with a small ridge on every other token of a batch, and is measured on the rest.
    Layer 0 is the embeddings. 1 over the number of modalities is chance.
    """

    one_width = True

    def measure(self, pl_module: Any, batch: InterleavedBatch) -> dict[str, float]:
        states = hidden_states(pl_module.model, batch, pl_module.seed)
        counts = torch.tensor(batch.layout.counts)
        labels = torch.repeat_interleave(torch.arange(len(counts)), counts)  # (N,)
        return {f"separability/layer{i}": linear_accuracy(x, labels) for i, x in enumerate(states)}


@torch.no_grad()
def hidden_states(model: Any, batch: InterleavedBatch, seed: int = 0) -> list[Tensor]:
    """The tokens (N, d) before the first layer and after each, grouped by modality."""
    states: list[Tensor] = []
    handles = [model.backbone.register_forward_pre_hook(lambda _, arguments: states.append(arguments[0]))]
    handles += [
        layer.register_forward_hook(lambda _, __, output: states.append(joined(output)))
        for layer in model.backbone.layers
    ]
    try:
        model(batch, seed)
    finally:
        for handle in handles:
            handle.remove()
    return states


def joined(output: Any) -> Tensor:
    """The tokens of all towers."""
    return output if isinstance(output, Tensor) else torch.cat(list(output))


def linear_accuracy(x: Tensor, labels: Tensor) -> float:
    """Accuracy of a linear classifier on the odd rows that was fitted to the even ones, averaged over the labels there.

    Args:
        x: features (n, d).
        labels: (n,).
    """
    x = x.detach().double().cpu()
    x = torch.cat([(x - x.mean(0)) / x.std(0).clamp(min=1e-6), torch.ones(len(x), 1, dtype=x.dtype)], 1)
    fitted, rest = slice(0, None, 2), slice(1, None, 2)
    present = labels[rest].unique()
    targets = torch.nn.functional.one_hot(labels).double()
    gram = x[fitted].T @ x[fitted]
    ridge = RIDGE * len(x[fitted]) * torch.eye(x.shape[1], dtype=x.dtype)
    predicted = (x[rest] @ torch.linalg.solve(gram + ridge, x[fitted].T @ targets[fitted])).argmax(1)
    return float(
        torch.stack([(predicted == labels[rest])[labels[rest] == one].double().mean() for one in present]).mean()
    )
