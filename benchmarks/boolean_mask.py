"""MoT with boolean-mask routing, the algorithm that its authors published, as a baseline for our routing.

At every linear layer, each tower selects its tokens by a mask and scatters its results back; attention uses an explicit
mask. Sizes and mathematics are those of `mot_lightning.backbone`.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from mot_lightning.backbone import BackboneSettings
from mot_lightning.backbone.feed_forward import SwiGLU
from mot_lightning.backbone.rope import rope, rotate


class Routed(nn.Module):
    """A module for each modality, which its tokens pass through."""

    def __init__(self, modules: list[nn.Module]) -> None:
        super().__init__()
        self.experts = nn.ModuleList(modules)

    def forward(self, x: Tensor, masks: list[Tensor]) -> Tensor:
        parts = [expert(x[mask]) for expert, mask in zip(self.experts, masks, strict=True)]
        out = x.new_empty(*x.shape[:-1], parts[0].shape[-1])
        for part, mask in zip(parts, masks, strict=True):
            out[mask] = part
        return out  # (b, s, ...)


class Layer(nn.Module):
    def __init__(self, settings: BackboneSettings, modalities: int) -> None:
        super().__init__()
        dim, self.heads = settings.dim, settings.heads

        def routed(make: type[nn.Module], *sizes: int, **others: bool) -> Routed:
            return Routed([make(*sizes, **others) for _ in range(modalities)])

        self.norm, self.ffn_norm = routed(nn.RMSNorm, dim), routed(nn.RMSNorm, dim)
        self.q, self.k, self.v, self.output = (routed(nn.Linear, dim, dim, bias=False) for _ in range(4))
        self.q_norm, self.k_norm = (routed(nn.RMSNorm, dim // self.heads) for _ in range(2))
        self.ffn = routed(SwiGLU, dim, settings.hidden)

    def forward(self, x: Tensor, masks: list[Tensor], mask: Tensor, angles: tuple[Tensor, Tensor]) -> Tensor:
        h = self.norm(x, masks)  # (b, s, d)
        q, k, v = (project(h, masks).unflatten(-1, (self.heads, -1)) for project in (self.q, self.k, self.v))
        q, k = (rotate(norm(y, masks), *angles) for norm, y in ((self.q_norm, q), (self.k_norm, k)))
        rows = (y.transpose(1, 2) for y in (q, k, v))  # (b, h, s, e) each
        gathered = F.scaled_dot_product_attention(*rows, attn_mask=mask).transpose(1, 2).flatten(2)  # (b, s, d)
        x = x + self.output(gathered, masks)
        return x + self.ffn(self.ffn_norm(x, masks), masks)


class BooleanMaskMoT(nn.Module):
    def __init__(self, settings: BackboneSettings, modalities: int) -> None:
        super().__init__()
        self.settings = settings
        self.layers = nn.ModuleList(Layer(settings, modalities) for _ in range(settings.depth))
        self.norm = Routed([nn.RMSNorm(settings.dim) for _ in range(modalities)])

    def forward(self, x: Tensor, modality: Tensor, position: Tensor, mask: Tensor) -> Tensor:
        """Hidden states of x (b, s, d), given modality and position (b, s) and the attention mask (b, 1, s, s)."""
        masks = [modality == number for number in range(len(self.norm.experts))]
        cos, sin = rope(position.flatten(), self.settings.head_size)
        angles = cos.view(*position.shape, 1, -1), sin.view(*position.shape, 1, -1)
        for layer in self.layers:
            x = layer(x, masks, mask, angles)
        return self.norm(x, masks)
