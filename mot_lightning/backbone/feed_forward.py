"""The feed-forward network of one tower: SwiGLU (arXiv 2002.05202), as in Llama and Transfusion."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from mot_lightning.initialisation import init_linear, residual_std


class SwiGLU(nn.Module):
    """down(silu(gate(x)) * up(x)) (arXiv 2002.05202, eq. 6).

    Args:
        dim: width of input and output.
        hidden: width in between.
        depth: layers of the backbone, for the initial scale of the down projection.
    """

    def __init__(self, dim: int, hidden: int, depth: int = 1) -> None:
        super().__init__()
        # two layers: the halves of one output would be strided, and their gradients would be concatenated
        self.gate = init_linear(nn.Linear(dim, hidden, bias=False))
        self.up = init_linear(nn.Linear(dim, hidden, bias=False))
        self.down = init_linear(nn.Linear(hidden, dim, bias=False), residual_std(hidden, depth))

    def forward(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        gate, up = F.silu(self.gate(x)), self.up(x)  # (n, hidden)
        # in place if no gradient needs the gate
        return self.down(gate * up if torch.is_grad_enabled() else gate.mul_(up))  # (n, d)
