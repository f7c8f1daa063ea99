"""The feed-forward network of one tower: SwiGLU (arXiv 2002.05202), as in Llama and Transfusion."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class SwiGLU(nn.Module):
    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        # separate: halves of one product would be strided, and their gradients concatenated
        self.gate = nn.Linear(dim, hidden, bias=False)
        self.up = nn.Linear(dim, hidden, bias=False)
        self.down = nn.Linear(hidden, dim, bias=False)

    def forward(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        gate, up = F.silu(self.gate(x)), self.up(x)  # (n, hidden)
        # in place if no gradient needs the gate
        return self.down(gate * up if torch.is_grad_enabled() else gate.mul_(up))  # (n, d)
