"""Rows of control ids in tables of their own, which learn where all other rows are frozen."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from mot_lightning.initialisation import NEARLY_UNIFORM, init_linear
from mot_lightning.sequence import Tokens


class ControlRows(nn.Module):
    """Embeds and predicts control ids, as IDEFICS does the ids that it adds to a language model (arXiv 2306.16527).

    Args:
        dim: width of the hidden states.
        tokens: with the control ids.
        std: of embeddings at random, where they are scaled as a tied table is; None is that of a table of its own.

    Attributes:
        alone: embeddings of the control ids in documents of the control modality alone: what such a document reads.
        others: embeddings of all other control ids; None if there are none.
        head: from hidden states to control ids.
    """

    row: Int[Tensor, " c"]  # of each control id in both tables, one below the other

    def __init__(self, dim: int, tokens: Tokens, std: float | None = None) -> None:
        super().__init__()
        ids, alone = tokens.control_ids, tokens.control_ids_alone
        others = [id for id in ids if id not in alone]
        row_of = {id: row for row, id in enumerate((*alone, *others))}
        self.first = ids.start
        self.register_buffer("row", torch.tensor([row_of[id] for id in ids]), persistent=False)
        self.alone = nn.Embedding(len(alone), dim)
        self.others = nn.Embedding(len(others), dim) if others else None
        for table in (self.alone, self.others):
            if std is not None and table is not None:
                nn.init.normal_(table.weight, std=std)
        self.head = init_linear(nn.Linear(dim, len(ids), bias=False), NEARLY_UNIFORM if std is None else std)

    def embed(self, ids: Int[Tensor, "*at"]) -> Float[Tensor, "*at d"]:
        """Embeddings of control ids; of any other id, those of the first control id."""
        tables = [self.alone.weight] if self.others is None else [self.alone.weight, self.others.weight]
        return torch.cat(tables)[self.row[(ids - self.first).clamp(min=0)]]  # (..., d)
