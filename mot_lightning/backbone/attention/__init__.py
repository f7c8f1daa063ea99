"""Global attention over the whole sequence: with a mask, block by block on the CPU, or as one fused kernel on CUDA."""

from mot_lightning.backbone.attention.masked import PackedAttention, attention_mask
from mot_lightning.backbone.attention.permute import AttentionFn
from mot_lightning.backbone.attention.select import AttentionBackend, build_attention

__all__ = ["AttentionBackend", "AttentionFn", "PackedAttention", "attention_mask", "build_attention"]
