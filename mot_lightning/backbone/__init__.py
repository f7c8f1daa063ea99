"""The transformer backbone: towers of weights, one for each modality or group of them, and a global attention."""

from mot_lightning.backbone.attention import AttentionFn, PackedAttention, build_attention
from mot_lightning.backbone.backbone import Backbone
from mot_lightning.backbone.moe import MoESettings
from mot_lightning.backbone.settings import BackboneSettings
from mot_lightning.backbone.tower import Condition

__all__ = [
    "AttentionFn",
    "Backbone",
    "BackboneSettings",
    "Condition",
    "MoESettings",
    "PackedAttention",
    "build_attention",
]
