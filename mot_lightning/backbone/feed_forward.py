"""The feed-forward network of one tower: SwiGLU (arXiv 2002.05202), as in Llama and Transfusion."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SwiGLU(nn.Module):
    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        # apart: halves of one product would be strided, and their gradients joined again
        self.gate = nn.Linear(dim, hidden, bias=False)
        self.up = nn.Linear(dim, hidden, bias=False)
        self.down = nn.Linear(hidden, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate, up = F.silu(self.gate(x)), self.up(x)  # (n, hidden)
        # what no gradient asks for again is written over
        return self.down(gate * up if torch.is_grad_enabled() else gate.mul_(up))  # (n, d)
