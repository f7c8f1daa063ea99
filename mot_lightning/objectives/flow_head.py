"""A small network that denoises one latent, given the hidden state that predicts it (MAR, arXiv 2406.11838)."""

from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from mot_lightning.initialisation import init_linear
from mot_lightning.objectives.denoising import TimeEmbedding


class FlowHead(nn.Module):
    """The velocity of each noisy latent: an MLP with residual blocks, adapted by time and hidden state.

    Args:
        dim: width of the hidden states.
        latent_dim: width of the latents.
        hidden: width of the network.
        depth: residual blocks.
    """

    def __init__(self, dim: int, latent_dim: int, hidden: int, depth: int) -> None:
        super().__init__()
        self.input = init_linear(nn.Linear(latent_dim, hidden))
        self.time_embedding = TimeEmbedding(hidden)
        self.condition = init_linear(nn.Linear(dim, hidden))
        self.blocks = nn.ModuleList(_Block(hidden) for _ in range(depth))
        self.output = init_linear(nn.Linear(hidden, latent_dim), std=0.0)

    def forward(
        self, x_t: Float[Tensor, "n latent_dim"], t: Float[Tensor, " n"], hidden: Float[Tensor, "n d"]
    ) -> Float[Tensor, "n latent_dim"]:
        condition = F.silu(self.time_embedding(t) + self.condition(hidden))  # (n, hidden)
        x = self.input(x_t.to(self.input.weight.dtype))  # (n, hidden)
        for block in self.blocks:
            x = block(x, condition)
        return cast(Tensor, self.output(F.layer_norm(x, x.shape[-1:]))).float()  # (n, latent_dim)


class _Block(nn.Module):
    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.adapt = init_linear(nn.Linear(hidden, 3 * hidden), std=0.0)
        self.first = init_linear(nn.Linear(hidden, hidden))
        self.second = init_linear(nn.Linear(hidden, hidden))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        shift, gain, gate = self.adapt(condition).chunk(3, dim=-1)
        branch = torch.addcmul(shift, F.layer_norm(x, x.shape[-1:]), 1 + gain)
        return torch.addcmul(x, gate, self.second(F.silu(self.first(branch))))  # (n, hidden)
