"""The Mixture-of-Transformers backbone (arXiv 2411.04996): towers of weights, joined by one attention per layer.

Sees vectors, where they sit, and condition vectors; knows nothing of ids, latents, losses or time.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from mot_lightning.backbone.attention import Attend
from mot_lightning.backbone.norm import RMSNorm, rms_norm
from mot_lightning.backbone.rope import grid_position, rope, rotate
from mot_lightning.backbone.settings import BackboneSettings, group_towers
from mot_lightning.backbone.tower import Condition, TowerLayer


class Backbone(nn.Module):
    """Mixture of Transformers.

    Args:
        settings: size and shape.
        modalities: all that tokens may belong to.
        conditioned: those whose objective gives a condition vector per segment (adaptive norm).
        grids: rows and columns of the segments of those that lie on a grid.
    """

    layers: Sequence[Sequence[TowerLayer]]

    def __init__(
        self,
        settings: BackboneSettings,
        modalities: Sequence[str],
        conditioned: frozenset[str] = frozenset(),
        grids: Mapping[str, tuple[int, int]] | None = None,
    ) -> None:
        super().__init__()
        self.settings, self.grids = settings, dict(grids or {}) if settings.rope_2d else {}
        self.towers = group_towers(settings.towers, modalities)
        self.layers = nn.ModuleList(  # type: ignore[assignment]
            nn.ModuleList(TowerLayer(tower, conditioned, settings) for tower in self.towers)
            for _ in range(settings.depth)
        )
        self.norms = nn.ModuleList(RMSNorm(settings.dim) for _ in self.towers)
        for number, (first, *others) in enumerate(self.layers):
            for other in others:
                other.tie(first, settings.tied(number))
        if "norm" not in settings.untie:
            self.norms = nn.ModuleList(self.norms[0] for _ in self.towers)

    @property
    def modalities(self) -> tuple[str, ...]:
        """All modalities, in the order in which their tokens are grouped."""
        return tuple(name for tower in self.towers for name in tower)

    def weights_of(self, modality: str) -> list[nn.Module]:
        """All modules that a token of one modality passes."""
        tower = next(i for i, members in enumerate(self.towers) if modality in members)
        return [module for layer in self.layers for module in layer[tower].weights_of(modality)] + [self.norms[tower]]

    def forward(
        self,
        x: Tensor,
        counts: Sequence[int],
        position: Tensor,
        attend: Attend,
        conditions: dict[str, Condition],
    ) -> Tensor:
        """Hidden states of the last layer, normalised.

        Args:
            x: (N, d) embeddings, grouped by tower and modality.
            counts: tokens of each modality, in the order of `modalities`.
            position: (N,) place of each token within its document.
            attend: joins the towers' queries, keys and values.
            conditions: for each conditioned modality.
        """
        settings = self.settings
        per_modality = dict(zip(self.modalities, counts, strict=True))
        sizes = [sum(per_modality[m] for m in tower) for tower in self.towers]
        # in training zero rows go through their tower too, so that all its gradients are defined on every rank
        live = [i for i, size in enumerate(sizes) if size or torch.is_grad_enabled()]
        sizes = [sizes[i] for i in live]
        heads = [settings.heads, settings.key_heads, settings.key_heads]
        angles = rope(self._place(position, counts), settings.head_size, settings.rope_base, settings.rope_scaling)
        xs = list(x.split(sizes))  # one (n, d) for each tower, to the end
        for number, layer in enumerate(self.layers):
            towers = [layer[i] for i in live]
            modulations = [tower.modulation(x, per_modality, conditions) for tower, x in zip(towers, xs, strict=True)]
            qkv = torch.cat([tower.project(x, m) for tower, x, m in zip(towers, xs, modulations, strict=True)])
            qk, v = qkv.split([heads[0] + heads[1], heads[2]], dim=1)
            gains = [tower.qk_norm().expand(n, -1, -1) for tower, n in zip(towers, sizes, strict=True) if tower.qk_norm]
            q, k = self._turn(qk, torch.cat(gains) if gains else None, *angles)
            gathered = attend(number, q, k, v).split(sizes)
            xs = [
                tower(x, seen, modulation)
                for tower, x, seen, modulation in zip(towers, xs, gathered, modulations, strict=True)
            ]
        return torch.cat([self.norms[i](x) for i, x in zip(live, xs, strict=True)])  # (N, d)

    def _place(self, position: Tensor, counts: Sequence[int]) -> Tensor:
        """Where a token stands for its rotation: (N,) in the document or, with `rope_2d`, (N, 2) row and column."""
        if not self.settings.rope_2d:
            return position
        parts = zip(self.modalities, position.split(list(counts)), strict=True)
        return torch.cat([grid_position(part, self.grids.get(name)) for name, part in parts])

    def _turn(self, qk: Tensor, gains: Tensor | None, cos: Tensor, sin: Tensor) -> list[Tensor]:
        """QK-norm and rotation of (N, h + kv_heads, e): queries and keys. The gains (N, 2, e) ride on the angles."""
        sizes = [self.settings.heads, self.settings.key_heads]
        if gains is None:
            return [rotate(x, cos[:, None], sin[:, None]) for x in qk.split(sizes, dim=1)]
        cos = (cos[:, None] * gains)[:, :, None]  # (N, 2, 1, e)
        sin = (sin[:, None] * gains.roll(gains.shape[-1] // 2, dims=-1))[:, :, None]
        unit = rms_norm(qk)
        if sizes[0] == sizes[1]:  # queries and keys at once
            return list(rotate(unit.unflatten(1, (2, -1)), cos, sin).unbind(1))
        return [rotate(x, cos[:, i], sin[:, i]) for i, x in enumerate(unit.split(sizes, dim=1))]
