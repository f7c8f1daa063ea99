"""How weights begin. Each module initialises its own by these, so that what builds a module may also zero it.

| weights | distribution |
|---|---|
| linear layers, experts | normal, variance 1 / inputs: signals keep their scale at any width |
| projections back into the residual (W_O, down) | the same over 2 depth (GPT-2) |
| embeddings of ids and positions | standard normal, the scale of a projected latent |
| tables that embed and predict | normal, variance 1 / dim, as what they embed is multiplied by sqrt(dim) |
| heads over ids, routers | normal, standard deviation 0.02: a first guess that is nearly uniform |
| adaptive norms, outputs of latents | zero: a block starts as an unconditioned one (DiT) |
| biases | zero |
| convolutions and the blocks of diffusers | their own |
| norms | one |
"""

from torch import nn

NEARLY_UNIFORM = 0.02  # standard deviation of what predicts ids or experts


def init_linear(linear: nn.Linear, std: float | None = None) -> nn.Linear:
    """Normal weights, of variance 1 / inputs where no `std` is given, and zero biases; returns the layer."""
    nn.init.normal_(linear.weight, std=linear.in_features**-0.5 if std is None else std)
    if linear.bias is not None:
        nn.init.zeros_(linear.bias)
    return linear


def residual_std(inputs: int, depth: int) -> float:
    """Of a projection back into the residual stream, to which 2 depth of them add."""
    return (inputs * 2 * depth) ** -0.5
