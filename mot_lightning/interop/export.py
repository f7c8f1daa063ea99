"""A tower as a language model that transformers loads. What no family of transformers computes is refused."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mot_lightning.backbone.feed_forward import SwiGLU
from mot_lightning.codecs import Codec
from mot_lightning.codecs.tokenizer import Subwords
from mot_lightning.errors import require
from mot_lightning.interop.names import named_views
from mot_lightning.interop.tensor_file import write_tensors
from mot_lightning.model import MixtureOfTransformers
from mot_lightning.objectives import NextToken
from mot_lightning.runs.find import WEIGHTS


def export_tower(model: MixtureOfTransformers, modality: str, codec: Codec, folder: Path) -> str:
    """Write config, weights and tokenizer of a modality's tower to a folder; ids are those of its codec.

    Control ids are left out, and a stop id that the codec does not have. Ids by which a language model began and ended
    its texts are kept.

    Returns:
        The family of the language model.

    Raises:
        ValueError: no family of transformers computes what the tower does.
    """
    _check(model, modality)
    objective: Any = model.objectives[modality]
    rows = model.grammar.tokens[modality].vocab_size
    assert rows is not None
    weights = {name: view.contiguous().cpu() for name, view in named_views(model, modality, rows).items()}
    tied = objective.tie and objective.scale == 1
    if not tied:
        weights.setdefault("lm_head.weight", weights["model.embed_tokens.weight"].clone())
    if objective.scale != 1:
        weights["model.embed_tokens.weight"] = weights["model.embed_tokens.weight"] * objective.scale
    family = _family(model)
    _write(folder, _config(model, modality, family, rows, tied, codec), weights, codec)
    return family


def _check(model: MixtureOfTransformers, modality: str) -> None:
    settings, tower = model.backbone.settings, model.backbone.tower_of(modality)
    objective: Any = model.objectives[modality]
    kind = type(objective)
    require(f"the objective of {modality!r}", kind.__name__, "NextToken", kind is NextToken)
    lookup = objective.lookup
    require(f"model.modalities.{modality}.objective.lookup", lookup, "table", lookup == "table")
    require("model.backbone.norm", settings.norm, "pre: transformers has no such norms", settings.norm == "pre")
    layers = [layer.towers[tower] for layer in model.backbone.layers]
    dense = all(isinstance(layer.ffn, SwiGLU) for layer in layers)
    require(f"model.backbone.experts of {modality!r}", "set", "none: only dense towers are exported", dense)
    width = settings.size_of(model.backbone.towers[tower])[0]
    require(
        f"the width of the tower of {modality!r}", width, f"model.backbone.dim, {settings.dim}", width == settings.dim
    )
    on_grid = settings.rope_2d and modality in model.backbone.grids
    require("model.backbone.rope_2d", True, f"false: {modality!r} is on a grid", not on_grid)


def _family(model: MixtureOfTransformers) -> str:
    settings = model.backbone.settings
    parts = {
        "qwen3": settings.qk_norm,
        "qwen2": settings.qkv_bias,
        "smollm3": bool(settings.nope_layers),
        "mistral": settings.sliding_window > 0,
    }
    chosen = [family for family, needed in parts.items() if needed]
    if "mistral" in chosen and len(chosen) > 1:  # all but Llama may have a window
        chosen.remove("mistral")
    several = ", ".join(chosen)
    require("the backbone", f"of the parts of {several}", "those of one of them", len(chosen) < 2)
    # Llama wants heads that divide the width; Mistral without a window is the same otherwise
    return chosen[0] if chosen else "mistral" if settings.dim % settings.heads else "llama"


def _config(model: MixtureOfTransformers, modality: str, family: str, rows: int, tied: bool, codec: Codec) -> Any:
    from transformers import AutoConfig, AutoModelForCausalLM  # takes seconds

    settings = model.backbone.settings
    scaling = settings.rope_scaling
    kind: dict[str, Any] = {"rope_type": "default"} if scaling == 1 else {"rope_type": "linear", "factor": scaling}
    window = settings.sliding_window or None
    config = AutoConfig.for_model(
        family,
        vocab_size=rows,
        hidden_size=settings.dim,
        intermediate_size=settings.size_of(model.backbone.towers[model.backbone.tower_of(modality)])[1],
        num_hidden_layers=settings.depth,
        num_attention_heads=settings.heads,
        num_key_value_heads=settings.key_heads,
        head_dim=settings.head_size,
        rms_norm_eps=settings.norm_eps,
        rope_parameters={**(dict(scaling) if isinstance(scaling, dict) else kind), "rope_theta": settings.rope_base},
        tie_word_embeddings=tied,
        sliding_window=window,
        **_positions(scaling),
        **({} if family in ("llama", "mistral") else {"use_sliding_window": window is not None}),
        **({"layer_types": ["sliding_attention"] * settings.depth} if window and family != "mistral" else {}),
        **({"no_rope_layers": [int(i not in settings.nope_layers) for i in range(settings.depth)]}
           if family == "smollm3" else {}),
        bos_token_id=codec.begin,
        eos_token_id=codec.stop,
        pad_token_id=None,
        dtype=torch.float32,
    )  # fmt: skip
    architecture: Any = AutoModelForCausalLM._model_mapping[type(config)]
    config.architectures = [architecture.__name__]
    return config


def _positions(scaling: Any) -> dict[str, int]:
    """The positions that Llama 3's scaling reaches; else a config has as many as its family by default."""
    if not isinstance(scaling, dict):
        return {}
    return {"max_position_embeddings": round(scaling["original_max_position_embeddings"] * scaling["factor"])}


def _write(folder: Path, config: Any, weights: dict[str, Tensor], codec: Codec) -> None:
    from transformers import PreTrainedTokenizerFast

    folder.mkdir(parents=True, exist_ok=True)
    config.save_pretrained(folder)
    write_tensors(folder / WEIGHTS, weights)
    if isinstance(codec, Subwords):
        ids = {"bos_token": codec.begin, "eos_token": codec.stop}
        tokens = {name: codec.tokenizer.id_to_token(id) for name, id in ids.items() if id is not None}
        PreTrainedTokenizerFast(tokenizer_object=codec.tokenizer, **tokens).save_pretrained(folder)
