"""Attention whose mask differs from layer to layer. Knows attentions, not what their masks mean."""

from collections.abc import Sequence

from mot_lightning.backbone.attention.permute import AttentionFn, Keys, Queries


class AttentionByLayer:
    """`AttentionFn` that differs from layer to layer: one of a few, chosen by its index."""

    def __init__(self, attends: Sequence[AttentionFn], of_layer: Sequence[int]) -> None:
        self.attends, self.of_layer = attends, of_layer

    def __call__(self, layer: int, q: Queries, k: Keys, v: Keys) -> Queries:
        return self.attends[self.of_layer[layer]](layer, q, k, v)
