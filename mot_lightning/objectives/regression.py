"""Plain regression, the baseline that answers whether diffusion matters: each latent from the one before it."""

import torch
from torch import Tensor, nn

from mot_lightning.objectives.base import Context, Objective, Request, View
from mot_lightning.sequence import Part, Tokens


class Regression(Objective):
    """Squared error of the next latent, which at its best is the mean of all that could come.

    Nothing is drawn: a sample is the one answer to what precedes it.
    """

    causal = True
    discrete = False

    def build(self, dim: int, tokens: Tokens) -> None:
        assert tokens.latent_dim is not None
        self.tokens = tokens
        self.input = nn.Linear(tokens.latent_dim, dim)
        self.output = nn.Linear(dim, tokens.latent_dim)

    def embed(self, part: Part, generator: torch.Generator) -> View:
        return View(self.input(part.tokens), part.target)  # (n, d), (t, latent_dim)

    def embed_clean(self, tokens: Tensor) -> tuple[Tensor, None]:
        return self.input(tokens), None  # (r, n, d)

    def loss(self, hidden: Tensor, view: View) -> Tensor:
        return (self.output(hidden).float() - view.target).square().mean(-1)  # (t,)

    def sample(self, context: Context, request: Request) -> list[Tensor]:
        assert request.length is not None
        latents: list[Tensor] = []
        for _ in range(request.length):
            latents.append(request.guide(self.output(context.last).float()))  # (r, latent_dim)
            context.append(request.both(self.input(latents[-1])[:, None]))
        return list(torch.stack(latents, 1))  # (r, n, latent_dim)
