"""Plain regression of each latent from all that precede it: the baseline that shows whether diffusion matters."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mot_lightning.initialisation import init_linear
from mot_lightning.noise import Noise
from mot_lightning.objectives.base import Context, Embedded, Embeddings, Objective, Request, RowsOfLatents
from mot_lightning.sequence import Latents, ModalityBatch, Tokens


class Regression(Objective):
    """Squared error of the next latent; the best prediction is its conditional mean.

    Sampling is deterministic: a segment depends on its context alone.
    """

    causal = True
    discrete = False

    def build(self, dim: int, tokens: Tokens) -> None:
        assert tokens.latent_dim is not None
        self.tokens = tokens
        self.input = init_linear(nn.Linear(tokens.latent_dim, dim))
        self.output = init_linear(nn.Linear(dim, tokens.latent_dim), std=0.0)

    def embed(self, part: ModalityBatch, noise: Noise) -> Embedded:
        return Embedded(self._embed(part.tokens), part.target)  # (n, d), (t, latent_dim)

    def embed_clean(self, tokens: RowsOfLatents) -> tuple[Embeddings, None]:
        return self._embed(tokens), None  # (r, n, d)

    def _embed(self, latents: Tensor) -> Tensor:
        return self.input(latents.to(self.input.weight.dtype))  # (..., d)

    def loss(self, hidden: Float[Tensor, "t d"], embedded: Embedded) -> Float[Tensor, " t"]:
        return (self.output(hidden).float() - embedded.target).square().mean(-1)  # (t,)

    def sample(self, context: Context, request: Request) -> list[Latents]:
        assert request.length is not None
        latents: list[Tensor] = []
        for _ in range(request.length):
            latents.append(request.guide(self.output(context.last).float()))  # (r, latent_dim)
            context.append(request.both(self._embed(latents[-1])[:, None]))
        return list(torch.stack(latents, 1))  # (r, n, latent_dim)
