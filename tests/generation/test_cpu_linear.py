"""Copies of weights that lie as products want them: the same answers, and nothing is left behind."""

import pytest
import torch
from properties import CLOSE

from mot_lightning.generation.cpu_linear import repacked_weights


@pytest.mark.parametrize("rows", [0, 1, 2, 40])
@pytest.mark.parametrize("shape", [(6, 20), (20, 6)])
@torch.no_grad()
def test_a_linear_layer_answers_the_same_from_copies_of_its_weight_and_then_forgets_them(rows, shape):
    layer, x = torch.nn.Linear(*shape), torch.randn(rows, shape[0])
    expected = layer(x)
    with repacked_weights(layer):
        for _ in range(12):  # often enough for a copy to pay
            torch.testing.assert_close(layer(x), expected, **CLOSE)
        copies = layer.forward
        assert (copies.columns is not None, copies.blocks is not None) == (rows == 1 and shape[1] > shape[0], rows > 1)
    assert "forward" not in vars(layer)
    layer.weight.mul_(2)
    with repacked_weights(layer):
        torch.testing.assert_close(layer(x) - layer.bias, 2 * (expected - layer.bias), **CLOSE)


@torch.no_grad()
def test_a_layer_that_is_more_than_a_product_stays_what_it_is():
    class Doubled(torch.nn.Linear):
        def forward(self, x):
            return 2 * super().forward(x)

    model, x = torch.nn.Sequential(Doubled(4, 6), torch.nn.Linear(6, 4)), torch.randn(5, 4)
    expected = model(x)
    with repacked_weights(model):
        for _ in range(12):
            torch.testing.assert_close(model(x), expected, **CLOSE)
            with repacked_weights(model):  # within another
                torch.testing.assert_close(model(x), expected, **CLOSE)
        assert "forward" in vars(model[1])
    assert "forward" not in vars(model[1])
