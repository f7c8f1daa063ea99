"""The weights of a tower under the names that they have in a language model: one map for both directions."""

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from mot_lightning.backbone.tower import TowerLayer
from mot_lightning.model import MixtureOfTransformers

PLAIN = {  # weights that are the same tensors in both
    "input_layernorm": "attention_norm.gain",
    "post_attention_layernorm": "ffn_norm.gain",
    "self_attn.o_proj": "output.weight",
    "mlp.gate_proj": "ffn.gate.weight",
    "mlp.up_proj": "ffn.up.weight",
    "mlp.down_proj": "ffn.down.weight",
}


def named_views(model: MixtureOfTransformers, modality: str, rows: int) -> dict[str, Tensor]:
    """Views of a tower's weights, norms and tables by their names in transformers; what is written to them is kept.

    Args:
        modality: learned by `NextToken`; its ids are those of the language model.
        rows: of the tables that are shown; stop and control ids come after them.
    """
    backbone, tower = model.backbone, model.backbone.tower_of(modality)
    objective: Any = model.objectives[modality]
    views = {"model.embed_tokens.weight": objective.embedding.weight[:rows]}
    if not objective.tie:
        views["lm_head.weight"] = objective.head.weight[:rows]
    for number, layer in enumerate(backbone.layers):
        for name, view in _of_layer(layer.towers[tower], backbone.settings.heads, backbone.settings.key_heads):
            views[f"model.layers.{number}.{name}"] = view
    views["model.norm.weight"] = backbone.norms[tower].gain
    return {name: view.detach() for name, view in views.items()}


def _of_layer(layer: TowerLayer, heads: int, key_heads: int) -> Iterator[tuple[str, Tensor]]:
    size = layer.qkv.out_features // (heads + 2 * key_heads)
    for name, ours in PLAIN.items():
        yield f"{name}.weight", layer.get_parameter(ours)
    for kind, joined in layer.qkv.named_parameters():  # weight, and bias if there is one
        for letter, part in zip("qkv", joined.split([heads * size, key_heads * size, key_heads * size]), strict=True):
            yield f"self_attn.{letter}_proj.{kind}", part
    if layer.qk_norm:
        for letter, part in zip("qk", layer.qk_norm.gain.chunk(2), strict=True):
            yield f"self_attn.{letter}_norm.weight", part
