"""Initial weights. A module initialises its weights when it is built, and the module that contains it may zero them.

| weights | distribution |
|---|---|
| linear layers, experts | normal, variance 1 / inputs: activations keep their scale at any width |
| projections into the residual stream (W_O, down) | normal, variance 1 / (2 depth inputs) (GPT-2) |
| embeddings of ids and positions | standard normal, the scale of a projected latent |
| tied embeddings | normal, variance 1 / dim, as embeddings are multiplied by sqrt(dim) |
| heads over ids, routers | normal, standard deviation 0.02: the first predictions are nearly uniform |
| adaptive norms, output projections of latents | zero: a block starts unconditioned (DiT, arXiv 2212.09748) |
| biases | zero |
| convolutions and the blocks of diffusers | their defaults |
| norms | one |
"""

from torch import nn

NEARLY_UNIFORM = 0.02  # standard deviation of layers that predict ids or experts


def init_linear(linear: nn.Linear, std: float | None = None) -> nn.Linear:
    """Set normal weights, of variance 1 / inputs unless `std` is given, and zero biases; returns the layer."""
    nn.init.normal_(linear.weight, std=linear.in_features**-0.5 if std is None else std)
    if linear.bias is not None:
        nn.init.zeros_(linear.bias)
    return linear


def residual_std(inputs: int, depth: int) -> float:
    """Standard deviation of a projection into the residual stream, which is the sum of 2 depth of them."""
    return (inputs * 2 * depth) ** -0.5
