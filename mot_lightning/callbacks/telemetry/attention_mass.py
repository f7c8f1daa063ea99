"""How much the tokens of each modality attend to each modality, layer by layer."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from mot_lightning.backbone.attention import attention_mask
from mot_lightning.backbone.attention.visibility import modality_of
from mot_lightning.callbacks.telemetry.probe import Probe
from mot_lightning.model import MixtureOfTransformers
from mot_lightning.sequence import InterleavedBatch, Layout


class AttentionMass(Probe):
    """Logs `train/<modality>/attention_to_<other>/layer<n>`: the share of attention, in the mean over heads and tokens.

    Of the first packed row of a batch, in one more forward pass. Shares of one modality and layer add up to 1. Control
    tokens belong to the modality that predicts them.
    """

    def measure(self, pl_module: Any, batch: InterleavedBatch) -> dict[str, float]:
        masses = attention_masses(pl_module.model, batch, pl_module.seed)
        groups = pl_module.model.grammar.groups
        return {
            f"{name}/attention_to_{other}/layer{layer}": float(mass[i, j])
            for layer, mass in enumerate(masses)
            for i, name in enumerate(groups)
            for j, other in enumerate(groups)
            if mass[i].sum() > 0
        }


@torch.no_grad()
def attention_masses(model: MixtureOfTransformers, batch: InterleavedBatch, seed: int = 0) -> list[Tensor]:
    """For each layer, the share of attention (m, m) from each modality to each, in the order of `grammar.groups`.

    A modality without tokens in the first row has zeros.
    """
    layout = batch.layout
    slots = layout.document.shape[1]
    row = (layout.slot < slots).nonzero().flatten()  # (n,) of the first row, grouped
    group = modality_of(layout)[row]
    member = torch.nn.functional.one_hot(group, len(layout.counts)).float()  # (n, m)
    masses: list[Tensor] = []
    with _seen(model, layout, row, masses):
        model(batch, seed)
    return [member.T @ share @ member / member.sum(0).clamp(min=1)[:, None] for share in masses]


@contextmanager
def _seen(model: MixtureOfTransformers, layout: Layout, row: Tensor, shares: list[Tensor]) -> Iterator[None]:
    """In this context, each layer adds the attention (n, n) of the tokens of a row, in the mean over heads."""
    place = layout.slot[row]
    visible = attention_mask(layout._replace(**{name: getattr(layout, name)[:1] for name in
                                                ("document", "position", "last_visible")}))[0, 0]  # fmt: skip
    visible = visible[place][:, place]  # (n, n)
    visibility, modality = model.backbone.visibility, modality_of(layout)[row]
    allowed = [relation.to(modality.device)[modality][:, modality] for relation in visibility.relations]
    hidden = [~(visible & allowed[i]) for i in visibility.of_layer]  # (n, n) of each layer

    def watch(module: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        x, counts, position, attend, conditions = arguments

        def attend_and_look(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            keys = k[row].repeat_interleave(q.shape[1] // k.shape[1], dim=1)  # (n, h, e)
            scores = torch.einsum("ihe,jhe->hij", q[row].float(), keys.float()) / q.shape[-1] ** 0.5
            shares.append(scores.masked_fill(hidden[layer], -torch.inf).softmax(-1).mean(0))
            attended: Tensor = attend(layer, q, k, v)
            return attended

        return x, counts, position, attend_and_look, conditions

    handle = model.backbone.register_forward_pre_hook(watch)
    try:
        yield
    finally:
        handle.remove()
