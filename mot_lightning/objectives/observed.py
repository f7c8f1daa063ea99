"""A modality that is only context: its tokens are read, and neither predicted nor sampled."""

from jaxtyping import Float
from torch import Tensor, nn

from mot_lightning.initialisation import init_linear
from mot_lightning.noise import Noise
from mot_lightning.objectives.base import Context, Embedded, Embeddings, Objective, Request, RowsOfIds, RowsOfLatents
from mot_lightning.sequence import Ids, Latents, ModalityBatch, Tokens


class Observed(Objective):
    """Ids or latents of any number as context, as the ViT tokens of BAGEL (arXiv 2505.14683): a table or a linear map.

    Tokens of a segment see each other. They have no targets, so that there is no loss of the modality in metrics or in
    the total loss; what follows them trains their embedding and their tower. The begin token of a segment is no target
    either: the segment is given, not chosen, and sampling never offers it. The control modality so learns what comes
    next among what it may choose.
    """

    causal = False
    predicts = False

    @classmethod
    def supports(cls, tokens: Tokens) -> bool:
        """True: nothing has to say where a segment ends, since none is sampled."""
        return True

    def build(self, dim: int, tokens: Tokens) -> None:
        self.tokens, self.discrete = tokens, tokens.discrete
        if tokens.vocab_size is not None:
            self.input: nn.Module = nn.Embedding(tokens.vocab_size, dim)
        else:
            assert tokens.latent_dim is not None
            self.input = init_linear(nn.Linear(tokens.latent_dim, dim))

    def embed(self, part: ModalityBatch, noise: Noise) -> Embedded:
        return Embedded(self._embed(part.tokens), part.target)  # (n, d), (0,) or (0, latent_dim)

    def embed_clean(self, tokens: RowsOfIds | RowsOfLatents) -> tuple[Embeddings, None]:
        return self._embed(tokens), None  # (r, n, d)

    def _embed(self, tokens: Tensor) -> Tensor:
        return self.input(tokens if self.discrete else tokens.to(next(self.input.parameters()).dtype))  # (..., d)

    def loss(self, hidden: Float[Tensor, "t d"], embedded: Embedded) -> Float[Tensor, " t"]:
        return hidden.sum(-1)  # (0,), as there is no target; in the graph, as DDP waits for each parameter

    def sample(self, context: Context, request: Request) -> list[Ids] | list[Latents]:
        """Raises ValueError."""
        raise ValueError("Observed is the objective of what is to be sampled, wanted one that predicts")
