"""What a language model's config asks of the backbone. Knows the configs of transformers, not files or weights."""

from typing import Any

from mot_lightning.backbone.rope import OF_LLAMA3
from mot_lightning.errors import require

# of SmolLM and Llama; Mistral; Qwen2 with biases; Qwen3 with QK-norm; SmolLM3 with layers without rotation
FAMILIES = ("llama", "mistral", "qwen2", "qwen3", "smollm3")


def backbone_settings(config: Any) -> dict[str, Any]:
    """The settings of `BackboneSettings` that a language model determines.

    Raises:
        ValueError: it is of another family, or has a part that the backbone lacks.
    """
    require("its model_type", config.model_type, f"one of {', '.join(FAMILIES)}", config.model_type in FAMILIES)
    require("its hidden_act", config.hidden_act, "silu", config.hidden_act == "silu")
    for name, weights in (("attention_bias", "W_O"), ("mlp_bias", "the feed-forward network")):
        value = getattr(config, name, False)
        require(f"its {name}", value, f"false: {weights} has no bias here", not value)
    heads, depth = config.num_attention_heads, config.num_hidden_layers
    return {
        "dim": config.hidden_size,
        "depth": depth,
        "heads": heads,
        "kv_heads": config.num_key_value_heads or heads,
        "head_dim": getattr(config, "head_dim", None) or config.hidden_size // heads,
        "ffn_dim": config.intermediate_size,
        "norm": "pre",
        "norm_eps": float(config.rms_norm_eps),
        "qk_norm": config.model_type == "qwen3",
        "qkv_bias": config.model_type == "qwen2",
        "rope_base": float(config.rope_parameters["rope_theta"]),
        "rope_scaling": _scaling(config.rope_parameters),
        "nope_layers": [i for i, rotates in enumerate((getattr(config, "no_rope_layers", None) or [])[:depth])
                        if not rotates],
        "sliding_window": _window(config),
    }  # fmt: skip


def _scaling(rope: dict[str, Any]) -> float | dict[str, float | str]:
    kind, rotated = rope.get("rope_type", "default"), rope.get("partial_rotary_factor") or 1.0
    require("its rope_type", kind, "default, linear or llama3", kind in ("default", "linear", "llama3"))
    require("its partial_rotary_factor", rotated, "1: all of a head is rotated here", rotated == 1)
    if kind == "llama3":
        return {"rope_type": kind, **{name: rope[name] for name in OF_LLAMA3}}
    return float(rope["factor"]) if kind == "linear" else 1.0


def _window(config: Any) -> int:
    """Tokens that a token may see in some layers; 0 if all see all."""
    some = config.model_type == "mistral" or "sliding_attention" in (getattr(config, "layer_types", None) or ())
    return (getattr(config, "sliding_window", None) or 0) if some else 0
