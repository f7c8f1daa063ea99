"""Global attention with an explicit mask, by SDPA on any device."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool
from torch import Tensor

from mot_lightning.backbone.attention.permute import Keys, Queries
from mot_lightning.backbone.attention.visibility import Relation
from mot_lightning.sequence import Layout


def attention_mask(layout: Layout, relation: Relation | None = None) -> Bool[Tensor, "b 1 s s"]:
    """True if the query (third axis) may attend to the key (fourth).

    A token attends to its document up to itself, or up to the end of its segment if that is bidirectional (Transfusion,
    section 3.1). Padding attends to padding, so that no softmax is empty. A relation hides modalities from others.
    """
    same_document = layout.document[:, :, None] == layout.document[:, None, :]  # (b, s, s)
    visible = layout.position[:, None, :] <= layout.last_visible[:, :, None]  # (b, s, s)
    visible = same_document & visible
    if relation is not None:
        b, s = layout.document.shape
        allowed = F.pad(relation.allowed, (0, 1, 0, 1), value=True)  # (m + 1, m + 1), of padding too
        padding = layout.slot.new_full((b * s,), len(relation.allowed))
        modality = padding.index_copy(0, layout.slot, relation.modality).view(b, s)
        visible &= allowed[modality[:, :, None], modality[:, None, :]]
    return visible[:, None]


class PackedAttention:
    """Global attention over packed rows: grouped tokens are put in sequence order and back (MoT, Algorithm 1).

    Runs on any device; invisible scores are computed, too, then masked.
    """

    def __init__(self, layout: Layout, dtype: torch.dtype, relation: Relation | None = None) -> None:
        self.slot = layout.slot
        self.grid = layout.document.shape
        visible = attention_mask(layout, relation)
        # additive: a boolean mask would be converted in every layer
        self.mask = torch.zeros(visible.shape, dtype=dtype, device=visible.device).masked_fill_(~visible, -torch.inf)

    def __call__(self, layer: int, q: Queries, k: Keys, v: Keys) -> Queries:
        grouped_query = k.shape[1] != q.shape[1]
        attended = F.scaled_dot_product_attention(
            self._rows(q), self._rows(k), self._rows(v), attn_mask=self.mask, enable_gqa=grouped_query
        )
        return attended.transpose(1, 2).flatten(0, 1).index_select(0, self.slot)  # (N, h, e)

    def _rows(self, x: Tensor) -> Tensor:
        b, s = self.grid
        slots = x.new_zeros(b * s, *x.shape[1:]).index_copy(0, self.slot, x)  # (b s, h, e)
        return slots.view(b, s, *x.shape[1:]).transpose(1, 2)  # (b, h, s, e)
