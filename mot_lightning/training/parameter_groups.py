"""The groups of an optimizer: weights that learn at one rate and decay alike."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from mot_lightning.training.part_settings import COMMON
from mot_lightning.training.parts import Part


def parameter_groups(
    weights: Sequence[Tensor], parts: Mapping[int, Part], decay: float, of: str
) -> list[dict[str, Any]]:
    """Groups of weights that follow the common settings, then of each part: matrices decay, vectors do not.

    Args:
        parts: of weights with settings of their own, by id; their groups have a name.
        decay: of matrices, where their part has no other.
        of: name of the optimizer, as several may have groups of one part.
    """
    by_part: dict[Part, list[Tensor]] = {}
    for weight in weights:
        by_part.setdefault(parts.get(id(weight), Part("", COMMON)), []).append(weight)
    groups: list[dict[str, Any]] = []
    for part in sorted(by_part, key=lambda part: part.name):
        rate, other = part.settings.learning_rate, part.settings.weight_decay
        matrices, vectors = ([p for p in by_part[part] if (p.dim() >= 2) is is_matrix] for is_matrix in (True, False))
        decays = decay if other is None else other
        for kind, members, group_decay in (("matrices", matrices, decays), ("vectors", vectors, 0.0)):
            if members:
                name = {"name": f"{part.name}/{of}_{kind}"} if part.name else {}
                group_rate = {} if rate is None else {"lr": rate}
                groups.append({"params": members, "weight_decay": group_decay, **group_rate, **name})
    return groups or [{"params": [], "weight_decay": decay}]
