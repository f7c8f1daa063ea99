"""One layer of the mixture: every tower on its own tokens, joined by the global attention (MoT, algorithm 1).

Knows towers and who is present; nothing of what tokens mean.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from mot_lightning.backbone.attention import Attend
from mot_lightning.backbone.moe import Experts, MixtureOfExperts
from mot_lightning.backbone.norm import rms_norm
from mot_lightning.backbone.rope import rotate
from mot_lightning.backbone.settings import BackboneSettings
from mot_lightning.backbone.tower import Condition, TowerLayer


class Places(NamedTuple):
    """Where a batch's tokens stand: the same for every layer."""

    live: list[int]  # towers that take part
    sizes: list[int]  # tokens of each
    counts: dict[str, int]  # tokens of each modality
    cos: Tensor  # (N, e)
    sin: Tensor  # (N, e)


class Block(nn.Module):
    """The towers' layers of one depth.

    Args:
        towers: modalities of each tower.
        conditioned: modalities whose objective gives a condition vector per segment.
        settings: size and shape.
        number: of the layer.
        experts: in place of a tower's feed-forward network.
    """

    towers: Sequence[TowerLayer]

    def __init__(
        self,
        towers: Sequence[tuple[str, ...]],
        conditioned: frozenset[str],
        settings: BackboneSettings,
        number: int,
        experts: Mapping[tuple[str, ...], Experts],
    ) -> None:
        super().__init__()
        self.number, self.heads = number, [settings.heads, settings.key_heads]
        self.compile_towers = settings.compile
        self.towers = nn.ModuleList(  # type: ignore[assignment]
            TowerLayer(tower, conditioned, settings, experts.get(tower)) for tower in towers
        )
        for other in self.towers[1:]:
            other.tie(self.towers[0], settings.tied(number))

    def forward(
        self, xs: list[Tensor], places: Places, attend: Attend, conditions: dict[str, Condition]
    ) -> list[Tensor]:
        """(n, d) of each tower that takes part -> the same, one layer on."""
        project, finish = _compiled() if self.compile_towers else (TowerLayer.project, TowerLayer.forward)
        if self.compile_towers and self.number == 0:
            xs = [x.clone() for x in xs]  # a view's place in its storage would be compiled in
        towers = [self.towers[i] for i in places.live]
        modulations = [tower.modulation(x, places.counts, conditions) for tower, x in zip(towers, xs, strict=True)]
        qkv = torch.cat([project(tower, x, m) for tower, x, m in zip(towers, xs, modulations, strict=True)])
        qk, v = qkv.split([sum(self.heads), self.heads[1]], dim=1)
        q, k = self._turn(qk, towers, places)
        gathered = attend(self.number, q, k, v).split(places.sizes)
        if self.compile_towers:
            gathered = [seen.clone() for seen in gathered]
        # experts ask the device for their loads: nothing that one graph could hold
        ends = [TowerLayer.forward if isinstance(tower.ffn, MixtureOfExperts) else finish for tower in towers]
        parts = zip(ends, towers, xs, gathered, modulations, strict=True)
        return [end(tower, x, seen, modulation) for end, tower, x, seen, modulation in parts]

    def _turn(self, qk: Tensor, towers: list[TowerLayer], places: Places) -> list[Tensor]:
        """QK-norm and rotation of (N, h + kv_heads, e): queries and keys. The gains ride on the angles."""
        gains = [t.qk_norm().expand(n, -1, -1) for t, n in zip(towers, places.sizes, strict=True) if t.qk_norm]
        if not gains:
            return [rotate(x, places.cos[:, None], places.sin[:, None]) for x in qk.split(self.heads, dim=1)]
        gain = torch.cat(gains)  # (N, 2, e)
        cos = (places.cos[:, None] * gain)[:, :, None]  # (N, 2, 1, e)
        sin = (places.sin[:, None] * gain.roll(gain.shape[-1] // 2, dims=-1))[:, :, None]
        unit = rms_norm(qk)
        if self.heads[0] == self.heads[1]:  # queries and keys at once
            return list(rotate(unit.unflatten(1, (2, -1)), cos, sin).unbind(1))
        return [rotate(x, cos[:, i], sin[:, i]) for i, x in enumerate(unit.split(self.heads, dim=1))]


@cache
def _compiled() -> tuple[Any, Any]:
    """The two regions between attentions, for any number of tokens: one graph serves all towers and layers."""
    return torch.compile(TowerLayer.project, dynamic=True), torch.compile(TowerLayer.forward, dynamic=True)
