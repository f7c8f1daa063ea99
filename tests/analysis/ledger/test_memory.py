"""Memory of training, against the tensors of a real step."""

import pytest
import torch
from conftest import make_model

from mot_lightning.analysis.ledger import total_parameters
from mot_lightning.analysis.ledger.memory import memory, optimizer_bytes
from mot_lightning.training.optimizer import OptimizerSettings


def test_adamw_keeps_two_numbers_for_each_weight():
    model = make_model("additive")
    sizes = memory(model, OptimizerSettings())
    assert sizes["gradients"] == 4 * total_parameters(model)
    assert sizes["optimizer"] == pytest.approx(2 * sizes["gradients"], rel=0.01)  # and a step count
    assert sizes["weights"] == sizes["averaged weights"] >= sizes["gradients"]  # buffers have no gradients
    half = memory(model.bfloat16(), OptimizerSettings())
    assert half["gradients"] == sizes["gradients"] / 2


@pytest.mark.parametrize(("algorithm", "numbers"), [("SGD", 0), ("Adagrad", 1), ("Muon", None)])
def test_optimizer_state_is_that_of_its_algorithm_and_no_weight_changes(algorithm, numbers):
    model, settings = make_model("additive"), OptimizerSettings(algorithm=algorithm)
    before = [p.detach().clone() for p in model.parameters()]
    counted = optimizer_bytes(model, settings)
    assert all(torch.equal(p, old) for p, old in zip(model.parameters(), before, strict=True))
    if numbers is None:  # momentum alone of matrices in layers, two numbers of all others
        matrices = sum(p.numel() for p in model.backbone.layers.parameters() if p.dim() == 2)
        assert counted == pytest.approx(4 * (2 * total_parameters(model) - matrices), rel=0.01)
    else:
        assert counted == pytest.approx(4 * numbers * total_parameters(model), rel=0.01)


def test_optimizer_that_reads_weights_is_unknown():
    assert optimizer_bytes(make_model("additive"), OptimizerSettings(algorithm="Adafactor")) is None
