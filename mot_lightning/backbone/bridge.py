"""Projections between the width of the model and that of a tower of another width."""

from torch import nn

from mot_lightning.initialisation import init_linear


class Bridge(nn.Module):
    """Into a tower and out of it, so that embeddings and predictions of all modalities have one width.

    The control tokens that begin a causal segment pass another tower than its tokens, and predict its first one: they
    can, as all hidden states leave the backbone alike.

    Args:
        dim: width of the model.
        inner: width of the tower.
    """

    def __init__(self, dim: int, inner: int) -> None:
        super().__init__()
        self.in_ = init_linear(nn.Linear(dim, inner, bias=False))
        self.out_ = init_linear(nn.Linear(inner, dim, bias=False))
