"""One layer of one tower: its norms, projections and feed-forward network, for the tokens routed to it.

Does not know the other towers; `block.py` joins them and ties the weights that they share.
"""

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from mot_lightning.backbone.feed_forward import SwiGLU
from mot_lightning.backbone.moe import MoESettings
from mot_lightning.backbone.norm import RMSNorm, rms_norm
from mot_lightning.backbone.settings import BackboneSettings, Shareable
from mot_lightning.initialisation import init_linear, residual_std

Branch = Literal["attention", "ffn"]

# the modules of a layer that each part of `untie` stands for
MODULES: dict[Shareable, tuple[str, ...]] = {
    "ffn": ("ffn",),
    "qkv": ("qkv",),
    "o": ("output",),
    "norm": ("attention_norm", "ffn_norm"),
    "qk_norm": ("qk_norm",),
}


class Condition(NamedTuple):
    """A vector per segment that adapts the norms of that segment's tokens (DiT, arXiv 2212.09748)."""

    vector: Float[Tensor, "k d"]
    segment: Int[Tensor, " n"]  # the segment of each token
    length: int | None = None  # tokens of each segment, if all are equal: n = k * length
    adapted: Float[Tensor, "k depth 6 d"] | None = None  # modulation of all layers, if computed in advance


class Modulation(NamedTuple):
    """Modulation of the two branches for one modality's tokens; the tokens of a run share one of k rows."""

    attention: tuple[Float[Tensor, "k 1 d"], ...]  # shift, gain and gate
    ffn: tuple[Float[Tensor, "k 1 d"], ...]
    runs: tuple[int, int]  # k and the tokens of a run


class AdaptiveNorm(nn.Module):
    """Shift, gain and gate of both branches, one row per segment (adaLN, arXiv 2212.09748); zero at initialisation.

    Args:
        inputs: width of a condition vector.
        dim: width of the hidden states.
    """

    def __init__(self, inputs: int, dim: int) -> None:
        super().__init__()
        self.linear = init_linear(nn.Linear(inputs, 6 * dim), std=0.0)

    def forward(self, vector: Float[Tensor, "k d"]) -> Float[Tensor, "k 6 d"]:
        return self.linear(F.silu(vector)).unflatten(-1, (6, -1))


class QKGains(nn.Module):
    """Gains of the normalised queries and keys, applied to all towers at once (`qk_norm_rope`)."""

    def __init__(self, head_dim: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(2 * head_dim))  # of queries, then of keys; 1D, so without weight decay


class TowerLayer(nn.Module):
    """A transformer layer, split where the global attention joins the towers.

    Args:
        modalities: of this tower, in the order of their tokens.
        conditioned: modalities whose objective gives a condition vector per segment.
        settings: size and shape.
        experts: a mixture in place of the feed-forward network.
    """

    def __init__(
        self,
        modalities: tuple[str, ...],
        conditioned: frozenset[str],
        settings: BackboneSettings,
        experts: MoESettings | None = None,
    ) -> None:
        super().__init__()
        (dim, hidden), size = settings.size_of(modalities), settings.head_size
        self.modalities, self.pre = modalities, settings.norm == "pre"
        self.attention_norm = RMSNorm(dim, settings.norm_eps)
        heads = settings.heads + 2 * settings.key_heads
        self.qkv = init_linear(nn.Linear(dim, heads * size, bias=settings.qkv_bias))  # W_Q, W_K, W_V
        self.qk_norm = QKGains(size) if settings.qk_norm else None
        inputs, depth = settings.heads * size, settings.depth
        self.output = init_linear(nn.Linear(inputs, dim, bias=False), residual_std(inputs, depth))  # W_O
        self.ffn_norm = RMSNorm(dim, settings.norm_eps)
        self.ffn: nn.Module = experts.build(dim, hidden, depth) if experts else SwiGLU(dim, hidden, depth)
        self.dropout = nn.Dropout(settings.dropout) if settings.dropout else None
        self.adapt = nn.ModuleDict({m: AdaptiveNorm(settings.dim, dim) for m in modalities if m in conditioned})

    def tie(self, other: "TowerLayer", parts: list[Shareable]) -> None:
        """Replace the modules of `parts` by those of another tower."""
        for part in parts:
            for name in MODULES[part]:
                setattr(self, name, getattr(other, name))

    def weights_of(self, modality: str) -> list[nn.Module]:
        """All modules that a token of one of its modalities passes through."""
        modules = [module for name, module in self.named_children() if name != "adapt"]
        return [*modules, self.adapt[modality]] if modality in self.adapt else modules

    def adapted(self, modality: str, vector: Float[Tensor, "k d"] | None = None) -> Float[Tensor, "#k 6 d"]:
        """Shift, gain and gate of both branches for condition vectors of a modality; one row if there are none.

        The norms' gains are folded in, so that each token is multiplied by one gain only.
        """
        one, zero = torch.ones_like(self.attention_norm.gain), torch.zeros_like(self.attention_norm.gain)
        plain = torch.stack([zero, self.attention_norm.gain, one, zero, self.ffn_norm.gain, one])  # (6, d)
        if vector is None:
            return plain[None]
        gains = torch.stack([one, self.attention_norm.gain, one, one, self.ffn_norm.gain, one])
        return torch.addcmul(plain, self.adapt[modality](vector), gains)  # (k, 6, d)

    def modulation(self, counts: dict[str, int], conditions: dict[str, Condition], number: int) -> list[Modulation]:
        """Modulations of the tower's modalities in layer `number`; empty if no modality is conditioned."""
        if not self.adapt:
            return []
        modulations = []
        for name in self.modalities:
            if name in self.adapt:
                vector, segment, length, precomputed = conditions[name]
                rows = self.adapted(name, vector) if precomputed is None else precomputed[:, number]  # (k, 6, d)
                rows, runs = (rows, (len(rows), length)) if length else (rows[segment], (counts[name], 1))
            else:
                rows, runs = self.adapted(name), (1, counts[name])
            adapted = rows[:, :, None].unbind(1)  # 6 of (k, 1, d)
            modulations.append(Modulation(adapted[:3], adapted[3:], runs))
        return modulations

    def project(self, x: Float[Tensor, "n d"], modulation: list[Modulation]) -> Float[Tensor, "n qkv"]:
        """Input of the global attention: queries, keys and values of each token, concatenated."""
        return self.qkv(_norm(x, self.attention_norm, modulation, "attention") if self.pre else x)

    def forward(
        self, x: Float[Tensor, "n d"], attended: Float[Tensor, "n h e"], modulation: list[Modulation]
    ) -> Float[Tensor, "n d"]:
        """The layer after the global attention: W_O, residual, feed-forward, residual (MoT, eq. 1 and 3)."""
        branch = self.output(attended.flatten(1))  # (n, d)
        branch = branch if self.pre else _norm(branch, self.attention_norm, modulation, "attention")
        x = self._add(x, branch, modulation, "attention")  # (n, d)
        if self.pre:
            branch = self.ffn(_norm(x, self.ffn_norm, modulation, "ffn"))
        else:
            branch = _norm(self.ffn(x), self.ffn_norm, modulation, "ffn")
        return self._add(x, branch, modulation, "ffn")  # (n, d)

    def _add(self, x: Tensor, y: Tensor, modulation: list[Modulation], branch: Branch) -> Tensor:
        """The residual stream x plus the output y of a branch, times its gate if there is a modulation."""
        y = self.dropout(y) if self.dropout else y
        if not modulation:
            return x + y
        parts = zip(_runs(x, modulation), _runs(y, modulation), modulation, strict=True)
        return _cat_runs([torch.addcmul(x_runs, y_runs, getattr(m, branch)[2]) for x_runs, y_runs, m in parts])


def cat_rows(parts: list[Shaped[Tensor, " _ *of_each"]]) -> Shaped[Tensor, " n *of_each"]:
    """Concatenated rows; a single part is not copied."""
    return torch.cat(parts) if len(parts) > 1 else parts[0]


def _norm(x: Tensor, norm: RMSNorm, modulation: list[Modulation], branch: Branch) -> Tensor:
    if not modulation:
        return rms_norm(x, norm.gain, norm.eps)
    parts = zip(_runs(rms_norm(x, eps=norm.eps), modulation), modulation, strict=True)
    return _cat_runs([torch.addcmul(getattr(m, branch)[0], unit, getattr(m, branch)[1]) for unit, m in parts])


def _runs(x: Tensor, modulation: list[Modulation]) -> list[Tensor]:
    """(n, d) -> for each modality its runs (k, n / k, d)."""
    parts = x.split([k * length for *_, (k, length) in modulation]) if len(modulation) > 1 else [x]
    return [part.view(*m.runs, x.shape[-1]) for part, m in zip(parts, modulation, strict=True)]


def _cat_runs(parts: list[Tensor]) -> Tensor:
    return cat_rows([part.flatten(0, 1) for part in parts])  # (n, d)
