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
from mot_lightning.backbone.settings import BackboneSettings
from mot_lightning.backbone.tower import Condition, TowerLayer, cat_rows
from mot_lightning.backbone.turn import norm_and_rotate


class Places(NamedTuple):
    """Where a batch's tokens stand: the same for every layer."""

    live: list[int]  # towers that take part
    sizes: list[int]  # tokens of each
    counts: dict[str, int]  # tokens of each modality
    cos: Tensor  # (N, 1, 1, e), for queries and keys and all their heads
    sin: Tensor  # (N, 1, 1, e)


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
        self.number, self.heads, self.head_size = number, (settings.heads, settings.key_heads), settings.head_size
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
        project, turn, finish = _compiled() if self.compile_towers else REGIONS
        if self.compile_towers and self.number == 0:
            xs = [x.clone() for x in xs]  # a view's place in its storage would be compiled in
        towers = [self.towers[i] for i in places.live]
        modulations = [tower.modulation(places.counts, conditions, self.number) for tower in towers]
        qkv = cat_rows([project(tower, x, m) for tower, x, m in zip(towers, xs, modulations, strict=True)])
        gains = [tower.qk_norm.gain for tower in towers if tower.qk_norm]
        q, k, v = turn(self, qkv, gains, places.cos, places.sin, places.sizes)
        gathered = list(attend(self.number, q, k, v).split_with_sizes(places.sizes))
        if self.compile_towers:
            gathered = [seen.clone() for seen in gathered]
        # experts ask the device for their loads: nothing that one graph could hold
        ends = [TowerLayer.forward if isinstance(tower.ffn, MixtureOfExperts) else finish for tower in towers]
        parts = zip(ends, towers, xs, gathered, modulations, strict=True)
        return [end(tower, x, seen, modulation) for end, tower, x, seen, modulation in parts]

    def turn(self, qkv: Tensor, gains: list[Tensor], cos: Tensor, sin: Tensor, sizes: list[int]) -> tuple[Tensor, ...]:
        """Queries and keys as they meet, and values, out of (N, (h + 2 kv_heads) e).

        A method, so that what it compiles to knows heads and their size for numbers that never change.
        """
        by_head = (gain.view(2, self.head_size) for gain in gains)  # (2, e)
        qkv = qkv.unflatten(-1, (self.heads[0] + 2 * self.heads[1], self.head_size))  # (N, h + 2 kv_heads, e)
        return norm_and_rotate(qkv, self.heads, [*by_head], cos, sin, sizes)


# what happens between attentions, region by region
REGIONS: tuple[Any, ...] = (TowerLayer.project, Block.turn, TowerLayer.forward)


@cache
def _compiled() -> tuple[Any, ...]:
    """The regions for any number of tokens: one graph of each serves all towers and layers."""
    # towers that are absent, one token alone, training and evaluation have graphs of their own; beyond the limit, eight
    # by itself, a region would run uncompiled and say nothing
    torch._dynamo.config.recompile_limit = max(64, torch._dynamo.config.recompile_limit)
    return tuple(torch.compile(region, dynamic=True) for region in REGIONS)
