"""An embedding of ids by their codebook vectors. Knows the values of a codebook, not the codec."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from mot_lightning.initialisation import init_linear
from mot_lightning.sequence import Tokens


class CodebookEmbedding(nn.Module):
    """Embeds the codec's v ids by a linear map of their codebook vectors, and all higher ids by a table.

    Raises:
        ValueError: the codec has no codebook.
    """

    codes: Float[Tensor, "v c"]  # standardised; zero until `set_codebook`

    def __init__(self, dim: int, tokens: Tokens) -> None:
        super().__init__()
        assert tokens.vocab_size is not None
        if tokens.codebook is None:
            raise ValueError("lookup is 'codebook', wanted 'table': the codec has no codebook")
        v, c = tokens.codebook
        self.register_buffer("codes", torch.zeros(v, c))
        self.project = init_linear(nn.Linear(c, dim))
        self.others = nn.Embedding(tokens.vocab_size - v, dim) if tokens.vocab_size > v else None
        self.checked = False

    @torch.no_grad()
    def set_codebook(self, codebook: Float[Tensor, "v c"]) -> None:
        """Copy the codec's codebook, standardised."""
        self.codes.copy_((codebook - codebook.mean(0)) / codebook.std(0).clamp(min=1e-5))

    def forward(self, ids: Int[Tensor, "*at"]) -> Float[Tensor, "*at d"]:
        if not self.checked and not (self.codes.is_meta or self.codes.any()):  # once: it synchronises the device
            raise RuntimeError(
                "lookup is 'codebook', but the codebook is not set: call the objective's `set_codebook` first"
            )
        self.checked = True
        v = len(self.codes)
        embedding = self.project(self.codes[ids.clamp(max=v - 1)])  # (..., d)
        if self.others is None:
            return embedding
        return torch.where((ids < v)[..., None], embedding, self.others((ids - v).clamp(min=0)))
