"""One layer of the mixture: every tower on its own tokens, joined by the global attention (MoT, algorithm 1).

Knows towers and which of them run; not the meaning of tokens.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mot_lightning.backbone.attention import AttentionFn
from mot_lightning.backbone.attention.permute import Keys, Queries
from mot_lightning.backbone.moe import MixtureOfExperts, MoESettings
from mot_lightning.backbone.qk import qk_norm_rope
from mot_lightning.backbone.settings import BackboneSettings
from mot_lightning.backbone.tower import Condition, TowerLayer, cat_rows


class BatchPositions(NamedTuple):
    """Live towers, counts and rotary angles of a batch; the same for every layer."""

    live: list[int]  # indices of towers that run
    sizes: list[int]  # tokens of each live tower
    counts: dict[str, int]  # tokens of each modality
    cos: Float[Tensor, "N 1 1 e"]  # broadcast over queries and keys, and over heads
    sin: Float[Tensor, "N 1 1 e"]


class Block(nn.Module):
    """One layer of all towers.

    Args:
        towers: modalities of each tower.
        conditioned: modalities whose objective gives a condition vector per segment.
        settings: size and shape.
        number: index of the layer.
        experts: mixtures in place of the feed-forward networks of some towers.
    """

    towers: Sequence[TowerLayer]

    def __init__(
        self,
        towers: Sequence[tuple[str, ...]],
        conditioned: frozenset[str],
        settings: BackboneSettings,
        number: int,
        experts: Mapping[tuple[str, ...], MoESettings],
    ) -> None:
        super().__init__()
        self.number, self.heads, self.head_size = number, (settings.heads, settings.key_heads), settings.head_size
        self.compile_towers, self.norm_eps = settings.compile, settings.norm_eps
        self.towers = nn.ModuleList(  # type: ignore[assignment]
            TowerLayer(tower, conditioned, settings, experts.get(tower)) for tower in towers
        )
        for other in self.towers[1:]:
            other.tie(self.towers[0], settings.tied(number))

    def forward(
        self,
        xs: list[Float[Tensor, "_ d"]],
        positions: BatchPositions,
        attend: AttentionFn,
        conditions: dict[str, Condition],
    ) -> list[Float[Tensor, "_ d"]]:
        """The hidden states of each live tower before this layer -> those after it."""
        project, rotate, finish = _compiled() if self.compile_towers else REGIONS
        if self.compile_towers and self.number == 0:
            xs = [x.clone() for x in xs]  # a view would be recompiled for each storage offset
        towers = [self.towers[i] for i in positions.live]
        modulations = [tower.modulation(positions.counts, conditions, self.number) for tower in towers]
        qkv = cat_rows([project(tower, x, m) for tower, x, m in zip(towers, xs, modulations, strict=True)])  # (N, qkv)
        gains = [tower.qk_norm.gain for tower in towers if tower.qk_norm]
        q, k, v = rotate(self, qkv, gains, positions.cos, positions.sin, positions.sizes)
        attended = list(attend(self.number, q, k, v).split_with_sizes(positions.sizes))  # (n, h, e) each
        if self.compile_towers:
            attended = [y.clone() for y in attended]
        # experts read their loads on the host, a graph break: their regions run uncompiled
        regions = [TowerLayer.forward if isinstance(tower.ffn, MixtureOfExperts) else finish for tower in towers]
        parts = zip(regions, towers, xs, attended, modulations, strict=True)
        return [region(tower, x, y, modulation) for region, tower, x, y, modulation in parts]

    def rotate(
        self,
        qkv: Float[Tensor, "N qkv"],
        gains: list[Float[Tensor, " two_e"]],
        cos: Float[Tensor, "N 1 1 e"],
        sin: Float[Tensor, "N 1 1 e"],
        sizes: list[int],
    ) -> tuple[Queries, Keys, Keys]:
        """Normalised and rotated queries and keys, and values, from a vector of size (h + 2 kv_heads) e for each token.

        A method, so that the compiled code treats the heads and their size as constants.
        """
        by_head = (gain.view(2, self.head_size) for gain in gains)  # (2, e)
        qkv = qkv.unflatten(-1, (self.heads[0] + 2 * self.heads[1], self.head_size))  # (N, h + 2 kv_heads, e)
        return qk_norm_rope(qkv, self.heads, [*by_head], cos, sin, sizes, self.norm_eps)


# the code between attentions, compiled as separate regions
REGIONS: tuple[Any, ...] = (TowerLayer.project, Block.rotate, TowerLayer.forward)


@cache
def _compiled() -> tuple[Any, ...]:
    """The compiled regions for any number of tokens: one graph of each serves all towers and layers."""
    # absent towers, single tokens, training and evaluation are compiled separately; beyond the limit, 8 by default, a
    # region would silently run uncompiled
    torch._dynamo.config.recompile_limit = max(64, torch._dynamo.config.recompile_limit)
    torch._dynamo.config.specialize_float = True  # the epsilon of norms is a constant, not an input of each graph
    return tuple(torch.compile(region, dynamic=True) for region in REGIONS)
