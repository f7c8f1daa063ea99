"""Linear layers with repacked weights give equal outputs, and are restored on exit."""

import pytest
import torch
from properties import CLOSE

from mot_lightning.generation.cpu_linear import repacked_weights


@pytest.mark.parametrize("rows", [0, 1, 2, 40])
@pytest.mark.parametrize("shape", [(6, 20), (20, 6)])
@torch.no_grad()
def test_repacked_linear_gives_equal_outputs_and_is_restored(rows, shape):
    layer, x = torch.nn.Linear(*shape), torch.randn(rows, shape[0])
    expected = layer(x)
    with repacked_weights(layer):
        for _ in range(12):  # enough calls to trigger the copy
            torch.testing.assert_close(layer(x), expected, **CLOSE)
        copies = layer.forward
        assert (copies.columns is not None, copies.blocks is not None) == (rows == 1 and shape[1] > shape[0], rows > 1)
    assert "forward" not in vars(layer)
    layer.weight.mul_(2)
    with repacked_weights(layer):
        torch.testing.assert_close(layer(x) - layer.bias, 2 * (expected - layer.bias), **CLOSE)


@torch.no_grad()
def test_subclasses_of_linear_are_not_repacked():
    class Doubled(torch.nn.Linear):
        def forward(self, x):
            return 2 * super().forward(x)

    model, x = torch.nn.Sequential(Doubled(4, 6), torch.nn.Linear(6, 4)), torch.randn(5, 4)
    expected = model(x)
    with repacked_weights(model):
        for _ in range(12):
            torch.testing.assert_close(model(x), expected, **CLOSE)
            with repacked_weights(model):  # nested
                torch.testing.assert_close(model(x), expected, **CLOSE)
        assert "forward" in vars(model[1])
    assert "forward" not in vars(model[1])
