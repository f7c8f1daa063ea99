"""One layer of one tower: its norms, projections and feed-forward network, for the tokens routed to it.

Knows nothing of the other towers; `backbone.py` joins them.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mot_lightning.backbone.attention import Projections
from mot_lightning.backbone.feed_forward import SwiGLU
from mot_lightning.backbone.norm import RMSNorm, rms_norm


class Condition(NamedTuple):
    """A vector per segment that adapts the norms of that segment's tokens (DiT, arXiv 2212.09748)."""

    vector: Tensor  # (k, d)
    segment: Tensor  # (n,) the segment of each token


class AdaptiveNorm(nn.Module):
    """Shift, scale and gate for the two branches, computed once per segment and zero at the start of training."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, 6 * dim)

    def forward(self, vector: Tensor) -> Tensor:
        return self.linear(F.silu(vector)).unflatten(-1, (6, -1))  # (k, 6, d)


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
        self.attention_norm = RMSNorm(dim)
        self.attention = Projections(dim, heads)
        self.ffn_norm = RMSNorm(dim)
        self.ffn = SwiGLU(dim, ffn_dim)
        self.dropout = nn.Dropout(dropout)
        self.adapt = nn.ModuleDict({m: AdaptiveNorm(dim) for m in modalities if m in conditioned})

    def modulation(self, x: Tensor, counts: dict[str, int], conditions: dict[str, Condition]) -> tuple[Tensor, ...]:
        """(shift, gain, gate) of the attention and of the feed-forward branch, (n, d) each; nothing if unconditioned.

        The norms' own gains are multiplied in per segment, so that a token pays for one gain only.
        """
        if not self.adapt:
            return ()
        one = torch.ones_like(self.attention_norm.gain)
        gains = torch.stack([one, self.attention_norm.gain, one, one, self.ffn_norm.gain, one])  # (6, d)
        neutral = x.new_tensor([0, 1, 1, 0, 1, 1])[:, None]  # (6, 1)
        rows = []
        for name in self.modalities:
            if name in self.adapt:
                vector, segment = conditions[name]
                rows.append(((self.adapt[name](vector) + neutral) * gains).index_select(0, segment))
            else:
                rows.append((neutral * gains).expand(counts[name], -1, -1))
        return torch.cat(rows).unbind(1)

    def project(self, x: Tensor, modulation: tuple[Tensor, ...]) -> Tensor:
        """What enters the global attention: queries, keys and values (n, 3, h, e)."""
        return self.attention(_norm(x, self.attention_norm, modulation[:2]))

    def forward(self, x: Tensor, gathered: Tensor, modulation: tuple[Tensor, ...]) -> Tensor:
        """What follows the global attention: W_O, residual, feed-forward, residual (MoT, eq. 1 and 3)."""
        x = _add(x, self.dropout(self.attention.output(gathered.flatten(1))), modulation[2:3])  # (n, d)
        h = _norm(x, self.ffn_norm, modulation[3:5])  # (n, d)
        return _add(x, self.dropout(self.ffn(h)), modulation[5:6])  # (n, d)


def _norm(x: Tensor, norm: RMSNorm, modulation: tuple[Tensor, ...]) -> Tensor:
    return torch.addcmul(modulation[0], rms_norm(x), modulation[1]) if modulation else norm(x)


def _add(x: Tensor, branch: Tensor, gate: tuple[Tensor, ...]) -> Tensor:
    return torch.addcmul(x, branch, gate[0]) if gate else x + branch
