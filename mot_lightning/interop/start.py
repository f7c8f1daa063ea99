"""A tower that starts as a language model: its weights are copied, and control ids get rows of their own."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mot_lightning.backbone.moe import MixtureOfExperts
from mot_lightning.codecs import Codec
from mot_lightning.codecs.tokenizer import Subwords
from mot_lightning.errors import require, say
from mot_lightning.interop.language_model import LanguageModel, LanguageModels, Pretrained
from mot_lightning.interop.names import named_views
from mot_lightning.model import MixtureOfTransformers
from mot_lightning.objectives import NextToken

NOISE = 0.02  # standard deviation of the noise of new rows that start as the mean, as a fraction of the table's
AS_BUILT = {"kv_heads": "key_heads", "head_dim": "head_size", "ffn_dim": "hidden"}  # settings whose 0 stands for a size


def start_towers(model: MixtureOfTransformers, codecs: Mapping[str, Codec], pretrained: LanguageModels) -> None:
    """Copy language models to the towers of their modalities, and to those of `copy_to`.

    Raises:
        ValueError: there is no such modality, two language models would share weights, the model's settings are not
            those of its language model, or a weight is missing.
    """
    source_of: dict[int, str] = {}  # modality that brings the language model, by id of a weight that starts as one
    for name, source in pretrained.items():
        require("model.pretrained", name, f"one of the modalities: {', '.join(codecs)}", name in codecs)
        for modality in [one for one in (name, *source.copy_to) if one in codecs]:
            for module in model.backbone.weights_of(modality):
                for other in (source_of.setdefault(id(weight), name) for weight in module.parameters()):
                    both = f"{other}, {name}"
                    require("model.pretrained", both, f"one of them: {modality} has weights of both", other == name)
    for name, source in pretrained.items():
        _start(model, name, codecs[name], source)


@torch.no_grad()
def _start(model: MixtureOfTransformers, modality: str, codec: Codec, pretrained: Pretrained) -> None:
    source = LanguageModel(pretrained.name_or_path)
    check_fits(model, modality, codec, source)
    for name in pretrained.copy_to:
        _check_copy(model, modality, name)
    views = named_views(model, modality, source.rows)
    if differ := sorted({*views} ^ {*source.weights}):
        raise ValueError(f"model.pretrained.{modality} is {source.name_or_path}, wanted a weight {differ[0]} in both")
    for name, view in views.items():
        view.copy_(source.weights[name])
    added = _add_rows(model, modality, source)
    for name in pretrained.copy_to:
        _copy_tower(model, model.backbone.tower_of(modality), model.backbone.tower_of(name))
    copies = "".join(f", copied to the tower of {name}" for name in pretrained.copy_to)
    say(f"pretrained: {modality} starts as {source.name_or_path}{copies}; {added}")


def check_fits(model: MixtureOfTransformers, modality: str, codec: Codec, source: LanguageModel) -> None:
    """Raises ValueError, naming both values, if a setting is not that of the language model."""
    settings, objective = model.backbone.settings, model.objectives[modality]

    def check(name: str, value: Any, expected: Any) -> None:
        require(name, value, f"{expected!r}, as {source.name_or_path} has", value == expected)

    for name, expected in source.backbone.items():
        check(f"model.backbone.{name}", getattr(settings, AS_BUILT.get(name, name)), expected)
    path = f"model.modalities.{modality}"
    kind = type(objective)
    require(f"{path}.objective", kind.__name__, f"NextToken, as {source.name_or_path} has", kind is NextToken)
    check(f"{path}.objective.tie", objective.tie, source.tied)
    check(f"{path}.objective.embedding_scale", objective.scale, 1.0)
    check(f"{path}.objective.lookup", objective.lookup, "table")
    apart = modality != model.grammar.control or bool(objective.decouple_control)
    require(f"{path}.objective.decouple_control", False, "true, as its table has no rows for control ids", apart)
    ids = model.grammar.tokens[modality].vocab_size
    require(f"{path}.codec", f"one of {ids} ids", f"the tokenizer of {source.name_or_path}", ids == source.rows)
    same = isinstance(codec, Subwords) and codec.tokenizer.to_str() == source.codec().tokenizer.to_str()
    require(f"{path}.codec", "another tokenizer", f"that of {source.name_or_path}", same)
    check(f"{path}.codec.stop", codec.stop, source.ends[1])
    _check_size(model, modality)
    _check_dense(model, modality)


def _check_size(model: MixtureOfTransformers, modality: str) -> None:
    """A tower that starts pretrained has the size of the backbone, which is that of the language model."""
    settings, tower = model.backbone.settings, model.backbone.towers[model.backbone.tower_of(modality)]
    whole = settings.dim, settings.hidden
    size = settings.size_of(tower)
    require(f"dim and ffn_dim of the tower of {modality!r}", size, f"{whole}, of the language model", size == whole)


def _check_dense(model: MixtureOfTransformers, modality: str) -> None:
    experts = isinstance(model.backbone.layers[0].towers[model.backbone.tower_of(modality)].ffn, MixtureOfExperts)
    require(f"model.backbone.experts of {modality!r}", "set", "none in a tower that starts pretrained", not experts)


def _check_copy(model: MixtureOfTransformers, modality: str, name: str) -> None:
    tower_of = model.backbone.tower_of
    others = [one for one in model.grammar.names if tower_of(one) != tower_of(modality)]
    requirement = f"modalities of other towers: {', '.join(others)}"
    require(f"model.pretrained.{modality}.copy_to", name, requirement, name in others)
    _check_size(model, name)
    _check_dense(model, name)


def _copy_tower(model: MixtureOfTransformers, source: int, target: int) -> None:
    """Copy all that both towers have: adaptive norms stay as they are, and change nothing at first."""
    for layer in model.backbone.layers:
        for name, module in layer.towers[source].named_children():
            if name != "adapt":
                getattr(layer.towers[target], name).load_state_dict(module.state_dict())
    model.backbone.norms[target].load_state_dict(model.backbone.norms[source].state_dict())


def _add_rows(model: MixtureOfTransformers, modality: str, source: LanguageModel) -> str:
    """Set the rows that the language model does not have, and say how.

    A text begins by a copy of the row by which the language model begins one, and ends by its id, so that it costs the
    bits that it costs there. All other rows start as the mean of all, plus noise.
    """
    objective: Any = model.objectives[modality]
    grammar, (bos, eos) = model.grammar, source.ends
    table, head, control = objective.embedding.weight, objective.head.weight, objective.control
    known, new = table[: source.rows], [table[source.rows :]]
    new_in_head = [] if source.tied else [head[source.rows :]]
    begun = 0
    if control is not None:
        new += [x.weight for x in (control.alone, control.others) if x is not None]
        new_in_head.append(control.head.weight)
    for rows in new:
        _start_as_mean(rows, known)
    for rows in new_in_head:
        _start_as_mean(rows, head[: source.rows])
    if control is not None and bos is not None:
        starts = (grammar.end_of_document, *grammar.begins[modality])
        begun = len(starts)
        control.alone.weight[:begun] = table[bos]
    ends = "a new id" if eos is None else f"its id {eos}"
    return (
        f"of {sum(map(len, new))} new embeddings, {begun} start as that of the id that begins its texts, the others as "
        f"the mean of all, plus noise; a text ends by {ends}"
    )


def _start_as_mean(rows: Tensor, known: Tensor) -> None:
    rows.copy_(known.mean(0) + NOISE * known.std() * torch.randn_like(rows))
