"""How alike the towers have become: what their feed-forward networks make of the same tokens."""

from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from mot_lightning.backbone.moe import MixtureOfExperts
from mot_lightning.callbacks.telemetry.probe import Probe
from mot_lightning.callbacks.telemetry.separability import hidden_states
from mot_lightning.sequence import InterleavedBatch
from mot_lightning.training.sharding import summon_full_params


class TowerSimilarity(Probe):
    """Logs `train/cka/layer<n>/<tower>_<tower>`: linear CKA (arXiv 1905.00414) of two towers' feed-forward outputs.

    Both get all tokens that enter the layer. 1 is alike up to rotation and scale, as towers are that share the weights.
    Towers with experts are left out.
    """

    one_width = True

    def measure(self, pl_module: Any, batch: InterleavedBatch) -> dict[str, float]:
        with summon_full_params(pl_module.model):
            return self._alike(pl_module, batch)

    def _alike(self, pl_module: Any, batch: InterleavedBatch) -> dict[str, float]:
        states = hidden_states(pl_module.model, batch, pl_module.seed)
        values = {}
        for number, (layer, x) in enumerate(zip(pl_module.model.backbone.layers, states, strict=False)):
            with torch.no_grad():
                outputs = {
                    "+".join(tower.modalities): tower.ffn(tower.ffn_norm(x))
                    for tower in layer.towers
                    if not isinstance(tower.ffn, MixtureOfExperts)
                }
            for (one, a), (other, b) in combinations(outputs.items(), 2):
                values[f"cka/layer{number}/{one}_{other}"] = linear_cka(a, b)
        return values


def linear_cka(a: Tensor, b: Tensor) -> float:
    """Linear centred kernel alignment of two representations (n, d) of the same n inputs, from 0 to 1."""
    a, b = (x.double() - x.double().mean(0) for x in (a, b))
    alignment = torch.linalg.matrix_norm(a.T @ b) ** 2
    return float(alignment / (torch.linalg.matrix_norm(a.T @ a) * torch.linalg.matrix_norm(b.T @ b)))
