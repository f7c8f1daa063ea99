"""Attention through which some modalities' keys and values get no gradient from the queries of others."""

from collections.abc import Sequence

import torch
from jaxtyping import Int
from torch import Tensor

from mot_lightning.backbone.attention.permute import AttentionFn, Keys, Queries


class InsulatedAttention:
    """`AttentionFn` with the values of another one (knowledge insulation, arXiv 2505.23705).

    In training it attends once for the queries of each insulated modality, and once for all others.

    Args:
        attend: the attention.
        modality: of each grouped token.
        insulated: modalities whose keys and values get gradients of their own queries alone.
    """

    def __init__(self, attend: AttentionFn, modality: Int[Tensor, " N"], insulated: Sequence[int]) -> None:
        self.attend, self.insulated = attend, list(insulated)
        self.is_of = [modality[:, None, None] == i for i in insulated]  # (N, 1, 1) each
        self.is_insulated = torch.stack(self.is_of).any(0)  # (N, 1, 1)

    def __call__(self, layer: int, q: Queries, k: Keys, v: Keys) -> Queries:
        if not torch.is_grad_enabled():
            return self.attend(layer, q, k, v)
        out = self._with_constant(self.is_insulated, layer, q, k, v)
        for is_of in self.is_of:
            others = self.is_insulated & ~is_of  # (N, 1, 1)
            out = torch.where(is_of, self._with_constant(others, layer, q, k, v), out)
        return out  # (N, h, e)

    def _with_constant(self, constant: Tensor, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        k, v = (torch.where(constant, x.detach(), x) for x in (k, v))
        return self.attend(layer, q, k, v)
