"""Which modalities' tokens attend to which, layer by layer, beyond what the layout of a document allows.

Knows modalities by their index; how a mask is computed is left to the implementations of attention.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from mot_lightning.sequence import Layout


class Relation(NamedTuple):
    """Which modality's tokens may attend to which, and the tokens of one batch."""

    allowed: Bool[Tensor, "m m"]  # modality of the query, modality of the key
    modality: Int[Tensor, " N"]  # of each grouped token

    def packed(self, to_packed: Int[Tensor, " N"]) -> "Relation":
        """The relation of tokens in packed order."""
        return self._replace(modality=self.modality.index_select(0, to_packed))


class Visibility:
    """The relations of all layers of a backbone.

    Args:
        modalities: in the order in which their tokens are grouped.
        sees: modalities that the tokens of a modality attend to; one that is not named sees all.
        insulate: modalities whose keys and values get no gradient from the queries of others.
        joined: layers of each modality; tokens of two modalities attend to each other where both are joined.
        depth: number of layers.

    Raises:
        ValueError: a name is of no modality, or a modality does not see itself.
    """

    def __init__(
        self,
        modalities: Sequence[str],
        sees: Mapping[str, Sequence[str]],
        insulate: Sequence[str],
        joined: Sequence[range],
        depth: int,
    ) -> None:
        for setting, names in (("sees", [*sees, *(n for seen in sees.values() for n in seen)]), ("insulate", insulate)):
            for name in names:
                if name not in modalities:
                    known = ", ".join(sorted(modalities))
                    raise ValueError(f"backbone.{setting} names {name!r}, wanted modalities among {known}")
        for name, seen in sees.items():
            if name not in seen:  # a token without a key has no attention
                raise ValueError(f"backbone.sees.{name} is {[*seen]}, wanted modalities with {name} among them")
        number = {name: i for i, name in enumerate(modalities)}
        allowed = torch.ones(len(modalities), len(modalities), dtype=torch.bool, device="cpu")
        for name, seen in sees.items():
            allowed[number[name]] = False
            allowed[number[name], [number[other] for other in seen]] = True
        joins = [tuple(layer in layers for layers in joined) for layer in range(depth)]  # m flags of each layer
        distinct = list(dict.fromkeys(joins))
        # relations (m, m), and the index of the one of each layer
        self.relations = [allowed & joined_pairs(torch.tensor(flags, device="cpu")) for flags in distinct]
        self.of_layer = [distinct.index(flags) for flags in joins]
        self.insulated = sorted(number[name] for name in insulate)

    @property
    def restricts(self) -> bool:
        """Whether some token attends to less than all that its document allows."""
        return not all(bool(allowed.all()) for allowed in self.relations)

    def of(self, layout: Layout) -> list[Relation]:
        """The relations for the tokens of a batch."""
        modality = modality_of(layout)
        return [Relation(allowed.to(modality.device), modality) for allowed in self.relations]


def joined_pairs(joins: Bool[Tensor, " m"]) -> Bool[Tensor, "m m"]:
    """Which modalities attend to which in a layer: those that join it to one another, each to itself."""
    return (joins[:, None] & joins) | torch.eye(len(joins), dtype=torch.bool, device=joins.device)


def modality_of(layout: Layout) -> Int[Tensor, " N"]:
    """The index of each grouped token's modality."""
    index = np.repeat(np.arange(len(layout.counts)), layout.counts)
    return torch.from_numpy(index).to(layout.slot.device, non_blocking=True)
