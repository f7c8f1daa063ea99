"""MoT with grouped routing, as ports of BAGEL (arXiv 2505.14683) have it, as a baseline for our routing.

In each layer, the tokens of a tower are gathered once, by indices, and pass through one product for each weight;
queries, keys, values and results are scattered back to the order of the sequence. Attention is the same kernel as ours.
"""

import torch
from torch import Tensor, nn

from mot_lightning.backbone import AttentionFn, Backbone
from mot_lightning.backbone.norm import rms_norm
from mot_lightning.backbone.rope import rope, rotate
from mot_lightning.backbone.tower import TowerLayer


class GroupedMoT(nn.Module):
    """The layers of one of our backbones, with its weights: pre-norm, without conditions."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone, self.heads = backbone, (backbone.settings.heads, backbone.settings.head_size)

    def forward(self, x: Tensor, indices: list[Tensor], position: Tensor, attend: AttentionFn) -> Tensor:
        """Hidden states of x (N, d), given the indices of each tower's tokens, and the position of each token."""
        cos, sin = (angle[:, None] for angle in rope(position, self.backbone.settings.head_size))
        for number, layer in enumerate(self.backbone.layers):
            gathered = [x[index] for index in indices]
            parts = [self.project(tower, part) for tower, part in zip(layer.towers, gathered, strict=True)]
            q, k, v = _scatter(parts, indices).unbind(1)  # (N, h, e) each
            attended = attend(number, rotate(q, cos, sin), rotate(k, cos, sin), v)
            towers = zip(layer.towers, gathered, indices, strict=True)
            x = _scatter([tower(part, attended[index], []) for tower, part, index in towers], indices)
        norms = zip(self.backbone.norms, indices, strict=True)
        return _scatter([norm(x[index]) for norm, index in norms], indices)

    def project(self, tower: TowerLayer, x: Tensor) -> Tensor:
        q, k, v = tower.project(x, []).unflatten(-1, (3, *self.heads)).unbind(1)  # (n, h, e) each
        gains = tower.qk_norm.gain.chunk(2) if tower.qk_norm else (None, None)
        q, k = (rms_norm(y, gain) for y, gain in zip((q, k), gains, strict=True))
        return torch.stack([q, k, v.to(q.dtype)], dim=1)  # (n, 3, h, e)


def _scatter(parts: list[Tensor], indices: list[Tensor]) -> Tensor:
    out = parts[0].new_empty(sum(map(len, indices)), *parts[0].shape[1:])
    for part, index in zip(parts, indices, strict=True):
        out[index] = part
    return out
