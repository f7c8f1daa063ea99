"""Rows of control ids in tables of their own, which learn where all other rows are frozen."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from mot_lightning.initialisation import NEARLY_UNIFORM, init_linear
from mot_lightning.sequence import Tokens


class ControlRows(nn.Module):
    """Embeds and predicts control ids, as IDEFICS does the ids that it adds to a language model (arXiv 2306.16527).

    Attributes:
        alone: embeddings of the control ids in documents of the control modality alone: what such a document reads.
        others: embeddings of all other control ids; None if there are none.
        head: from hidden states to control ids.
    """

    place: Int[Tensor, " c"]  # of each control id among the rows of both tables

    def __init__(self, dim: int, tokens: Tokens) -> None:
        super().__init__()
        ids, alone = tokens.control_ids, tokens.control_ids_alone
        others = [id for id in ids if id not in alone]
        places = {id: place for place, id in enumerate((*alone, *others))}
        self.first = ids.start
        self.register_buffer("place", torch.tensor([places[id] for id in ids]), persistent=False)
        self.alone = nn.Embedding(len(alone), dim)
        self.others = nn.Embedding(len(others), dim) if others else None
        self.head = init_linear(nn.Linear(dim, len(ids), bias=False), NEARLY_UNIFORM)

    def embed(self, ids: Int[Tensor, "*at"]) -> Float[Tensor, "*at d"]:
        """Embeddings of control ids; of any other id, those of the first control id."""
        tables = [self.alone.weight] if self.others is None else [self.alone.weight, self.others.weight]
        return torch.cat(tables)[self.place[(ids - self.first).clamp(min=0)]]  # (..., d)
