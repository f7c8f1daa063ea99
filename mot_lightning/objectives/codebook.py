"""An embedding of ids by what they stand for in their codec. Knows a codebook's numbers, not what made them."""

import torch
from torch import Tensor, nn

from mot_lightning.sequence import Tokens


class CodebookEmbedding(nn.Module):
    """Each of the codec's v ids is a linear map of its vector in the codebook; ids above have rows of a table.

    Raises:
        ValueError: the codec has no codebook.
    """

    codes: Tensor  # (v, c), all numbers at one scale; zero until it is met

    def __init__(self, dim: int, tokens: Tokens) -> None:
        super().__init__()
        assert tokens.vocab_size is not None
        if tokens.codebook is None:
            raise ValueError("lookup is 'codebook', wanted 'table': the codec has no codebook")
        v, c = tokens.codebook
        self.register_buffer("codes", torch.zeros(v, c))
        self.project = nn.Linear(c, dim)
        self.others = nn.Embedding(tokens.vocab_size - v, dim) if tokens.vocab_size > v else None
        self.met = False

    @torch.no_grad()
    def meet(self, codebook: Tensor) -> None:
        """Take over what the codec has learned, (v, c)."""
        self.codes.copy_((codebook - codebook.mean(0)) / codebook.std(0).clamp(min=1e-5))

    def forward(self, ids: Tensor) -> Tensor:
        if not self.met and not (self.codes.is_meta or self.codes.any()):  # asked once: the device has to answer
            raise RuntimeError(
                "lookup is 'codebook', wanted its codes before the first ids: call the objective's `meet`"
            )
        self.met = True
        v = len(self.codes)
        found = self.project(self.codes[ids.clamp(max=v - 1)])  # (..., d)
        if self.others is None:
            return found
        return torch.where((ids < v)[..., None], found, self.others((ids - v).clamp(min=0)))
