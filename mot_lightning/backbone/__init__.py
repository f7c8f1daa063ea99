"""Vectors in, vectors out: the transformer that mixes towers of weights by modality."""

from mot_lightning.backbone.attention import Attend, PackedAttention, joined
from mot_lightning.backbone.backbone import Backbone
from mot_lightning.backbone.moe import Experts
from mot_lightning.backbone.settings import BackboneSettings
from mot_lightning.backbone.tower import Condition

__all__ = ["Attend", "Backbone", "BackboneSettings", "Condition", "Experts", "PackedAttention", "joined"]
