"""One layer of one tower: its norms, projections and feed-forward network, for the tokens routed to it.

Knows nothing of the other towers; `backbone.py` joins them.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mot_lightning.backbone.attention import Projections
from mot_lightning.backbone.feed_forward import SwiGLU


class Condition(NamedTuple):
    """A vector per segment that adapts the norms of that segment's tokens (DiT, arXiv 2212.09748)."""

    vector: Tensor  # (k, d)
    segment: Tensor  # (n,) the segment of each token


class AdaptiveNorm(nn.Module):
    """Shift, scale and gate for the two branches, computed once per segment and zero at the start of training."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, 6 * dim)

    def forward(self, condition: Condition) -> Tensor:
        return self.linear(F.silu(condition.vector)).index_select(0, condition.segment)  # (n, 6 d)


class TowerLayer(nn.Module):
    """Pre-norm transformer layer (Llama, as in Transfusion), split where the global attention joins the towers.

    Args:
        modalities: those routed here, in the order of their rows.
        conditioned: those of them whose objective gives a condition vector per segment.
    """

    def __init__(
        self,
        modalities: tuple[str, ...],
        conditioned: frozenset[str],
        dim: int,
        heads: int,
        ffn_dim: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.modalities = modalities
        self.attention_norm = nn.RMSNorm(dim, eps=1e-6)
        self.attention = Projections(dim, heads)
        self.ffn_norm = nn.RMSNorm(dim, eps=1e-6)
        self.ffn = SwiGLU(dim, ffn_dim)
        self.dropout = nn.Dropout(dropout)
        self.adapt = nn.ModuleDict({m: AdaptiveNorm(dim) for m in modalities if m in conditioned})

    def modulation(self, x: Tensor, counts: dict[str, int], conditions: dict[str, Condition]) -> tuple[Tensor, ...]:
        """(shift, scale, gate) of the attention and of the feed-forward branch; no tensors without a condition."""
        if not self.adapt:
            return ()
        rows = [
            self.adapt[m](conditions[m]) if m in self.adapt else x.new_zeros(counts[m], 6 * x.shape[-1])
            for m in self.modalities
        ]
        return torch.cat(rows).chunk(6, dim=-1)  # 6 x (n, d)

    def project(self, x: Tensor, modulation: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """What enters the global attention: queries and keys (n, 2, h, e), values (n, h, e)."""
        return self.attention(_modulate(self.attention_norm(x), modulation[:2]))

    def forward(self, x: Tensor, gathered: Tensor, modulation: tuple[Tensor, ...]) -> Tensor:
        """What follows the global attention: W_O, residual, feed-forward, residual (MoT, eq. 1 and 3)."""
        x = x + _gate(self.dropout(self.attention.output(gathered.flatten(1))), modulation[2:3])  # (n, d)
        h = _modulate(self.ffn_norm(x), modulation[3:5])  # (n, d)
        return x + _gate(self.dropout(self.ffn(h)), modulation[5:6])  # (n, d)


def _modulate(x: Tensor, modulation: tuple[Tensor, ...]) -> Tensor:
    return x * (1 + modulation[1]) + modulation[0] if modulation else x


def _gate(x: Tensor, gate: tuple[Tensor, ...]) -> Tensor:
    return x * (1 + gate[0]) if gate else x
