"""Which parameters a model has: those of each tower, those that towers share, and those of each modality."""

from collections import Counter
from typing import Literal, NamedTuple, get_args

from torch import nn

from mot_lightning.codecs import Codec
from mot_lightning.codecs.pretrained import FrozenNetwork
from mot_lightning.model import MixtureOfTransformers

Kind = Literal["untied", "backbone", "embedding", "head"]
KINDS = get_args(Kind)


class Group(NamedTuple):
    """Parameters with one place in a model.

    Attributes:
        kind: "untied" weights are those that one of several towers has for itself, "backbone" those that all tokens
            may pass through; "embedding" and "head" are of a modality, and a table that is both is an embedding.
    """

    kind: Kind
    name: str


def parameter_groups(model: MixtureOfTransformers) -> dict[Group, int]:
    """The number of parameters in each group; each parameter counts once."""
    towers = model.backbone.towers
    users: dict[int, set[tuple[str, ...]]] = {}  # towers that use a parameter
    for tower in towers:
        for module in (module for name in tower for module in model.backbone.weights_of(name)):
            for parameter in module.parameters():
                users.setdefault(id(parameter), set()).add(tower)
    counts = Counter[Group]()
    for parameter in model.backbone.parameters():
        using = users.get(id(parameter), set())
        untied = len(towers) > 1 and len(using) == 1
        name = f"tower {', '.join(*using)}" if untied else "all towers" if len(towers) > 1 else "backbone"
        counts[Group("untied" if untied else "backbone", name)] += parameter.numel()
    for name, objective in model.objectives.items():
        tables = {id(m.weight) for m in objective.modules() if isinstance(m, nn.Embedding)}
        for parameter in objective.parameters():
            table = id(parameter) in tables
            group = Group("embedding", f"{name}: embeddings") if table else Group("head", f"{name}: projections")
            counts[group] += parameter.numel()
    return {group: counts[group] for group in sorted(counts, key=lambda group: KINDS.index(group.kind))}


def codec_numbers(codec: Codec) -> int:
    """Numbers that a codec holds, in its state or in a network that is no part of the model."""
    outside = [value.network for value in vars(codec).values() if isinstance(value, FrozenNetwork)]
    return sum(x.numel() for module in (codec, *outside) for x in (*module.parameters(), *module.buffers()))
