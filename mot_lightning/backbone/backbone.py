"""The Mixture-of-Transformers backbone (arXiv 2411.04996): towers of weights, joined by one attention per layer.

Sees vectors, where they sit, and condition vectors; knows nothing of ids, latents, losses or time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from mot_lightning.backbone.attention import Attend
from mot_lightning.backbone.norm import RMSNorm, rms_norm
from mot_lightning.backbone.rope import rope, rotate
from mot_lightning.backbone.tower import Condition, TowerLayer


@dataclass(frozen=True)
class BackboneSettings:
    """Size and shape of the backbone.

    Attributes:
        dim: width of the hidden states.
        depth: number of layers.
        heads: attention heads; `dim / heads` must be even.
        ffn_dim: hidden width of SwiGLU; 0 takes the nearest multiple of 64 to `8/3 dim`.
        dropout: share of each branch's outputs that is dropped.
        rope_base: base of the rotary frequencies.
        towers: modalities that share weights, by tower; empty gives every modality a tower of its own.
            One tower with all modalities is a dense transformer.
    """

    dim: int = 128
    depth: int = 4
    heads: int = 4
    ffn_dim: int = 0
    dropout: float = 0.0
    rope_base: float = 10_000.0
    towers: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("dim", "depth", "heads"):
            if getattr(self, name) < 1:
                raise ValueError(f"backbone.{name} is {getattr(self, name)}, wanted at least 1")
        if self.dim % self.heads or self.dim // self.heads % 2:
            raise ValueError(
                f"backbone.heads is {self.heads}, wanted a number that divides dim {self.dim} evenly in two"
            )
        if self.ffn_dim < 0 or self.rope_base <= 1:
            name = "ffn_dim" if self.ffn_dim < 0 else "rope_base"
            raise ValueError(
                f"backbone.{name} is {getattr(self, name)}, wanted {'0 or more' if self.ffn_dim < 0 else 'above 1'}"
            )
        if not 0 <= self.dropout < 1:
            raise ValueError(f"backbone.dropout is {self.dropout}, wanted a share from 0 to below 1")

    @property
    def hidden(self) -> int:
        return self.ffn_dim or max(64, round(8 * self.dim / 3 / 64) * 64)


def group_towers(towers: Mapping[str, Sequence[str]], modalities: Sequence[str]) -> list[tuple[str, ...]]:
    """The modalities of each tower, in an order that does not depend on how they were declared.

    Raises:
        ValueError: a modality is in no tower or in two, or a tower names one that does not exist.
    """
    if not towers:
        return [(name,) for name in sorted(modalities)]
    named = [name for members in towers.values() for name in members]
    for name in sorted({*named, *modalities}):
        if name not in modalities:
            raise ValueError(f"backbone.towers names {name!r}, wanted modalities among {', '.join(sorted(modalities))}")
        if named.count(name) != 1:
            raise ValueError(
                f"backbone.towers names {name!r} {named.count(name)} times, wanted it in exactly one tower"
            )
    return sorted(tuple(sorted(members)) for members in towers.values() if members)


class Backbone(nn.Module):
    """Mixture of Transformers.

    Args:
        settings: size and shape.
        modalities: all that tokens may belong to.
        conditioned: those whose objective gives a condition vector per segment (adaptive norm).
    """

    layers: Sequence[Sequence[TowerLayer]]

    def __init__(self, settings: BackboneSettings, modalities: Sequence[str], conditioned: frozenset[str]) -> None:
        super().__init__()
        self.settings = settings
        self.towers = group_towers(settings.towers, modalities)
        self.layers = nn.ModuleList(  # type: ignore[assignment]
            nn.ModuleList(
                TowerLayer(tower, conditioned, settings.dim, settings.heads, settings.hidden, settings.dropout)
                for tower in self.towers
            )
            for _ in range(settings.depth)
        )
        self.norms = nn.ModuleList(RMSNorm(settings.dim) for _ in self.towers)

    @property
    def modalities(self) -> tuple[str, ...]:
        """All modalities, in the order in which their tokens are grouped."""
        return tuple(name for tower in self.towers for name in tower)

    def tower_modules(self, tower: int) -> list[nn.Module]:
        """All modules that hold one tower's weights."""
        return [*(layer[tower] for layer in self.layers), self.norms[tower]]

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
        per_modality = dict(zip(self.modalities, counts, strict=True))
        sizes = [sum(per_modality[m] for m in tower) for tower in self.towers]
        # in training zero rows go through their tower too, so that all its gradients are defined on every rank
        live = [i for i, size in enumerate(sizes) if size or torch.is_grad_enabled()]
        sizes = [sizes[i] for i in live]
        cos, sin = rope(position, self.settings.dim // self.settings.heads, self.settings.rope_base)
        xs = list(x.split(sizes))  # one (n, d) for each tower, to the end
        for number, layer in enumerate(self.layers):
            towers = [layer[i] for i in live]
            modulations = [tower.modulation(x, per_modality, conditions) for tower, x in zip(towers, xs, strict=True)]
            qkv = torch.cat([tower.project(x, m) for tower, x, m in zip(towers, xs, modulations, strict=True)])
            gains = [tower.attention.gains().expand(n, -1, -1) for tower, n in zip(towers, sizes, strict=True)]
            qk, v = qkv.split([2, 1], dim=1)
            q, k = self._place(qk, torch.cat(gains), cos, sin).unbind(1)  # (N, h, e) each
            gathered = attend(number, q, k, v[:, 0]).split(sizes)
            xs = [
                tower(x, seen, modulation)
                for tower, x, seen, modulation in zip(towers, xs, gathered, modulations, strict=True)
            ]
        return torch.cat([self.norms[i](x) for i, x in zip(live, xs, strict=True)])  # (N, d)

    @staticmethod
    def _place(qk: Tensor, gains: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """QK-norm (arXiv 2302.05442) and rotation of qk (N, 2, h, e); the gains (N, 2, e) ride on the angles."""
        turned = gains.roll(gains.shape[-1] // 2, dims=-1)
        return rotate(rms_norm(qk), (gains * cos[:, None])[:, :, None], (turned * sin[:, None])[:, :, None])
