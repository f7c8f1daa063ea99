"""Memory of training, against the tensors of a real step."""

import numpy as np
import pytest
import torch
from conftest import make_document, make_model

from mot_lightning.analysis.ledger import total_parameters
from mot_lightning.analysis.ledger.memory import activation_bytes, memory, optimizer_bytes
from mot_lightning.sequence import pack
from mot_lightning.training.optimizer import OptimizerSettings

DENSE = {"all": ["text", "image", "speech"]}


def some_batch(model, copies=1):
    rng = np.random.default_rng(0)
    return pack(copies * [make_document(rng, ["text", "image", "speech"])], model.grammar, 64)


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


def test_activations_grow_with_tokens_and_shrink_with_checkpointing():
    model = make_model("additive", DENSE).train()
    one, three = (activation_bytes(model, some_batch(model, copies)) for copies in (1, 3))
    assert 2 * one < three < 4 * one
    tokens, hidden = sum(some_batch(model).layout.counts), 4 * 32  # bytes of a hidden state
    assert one > 2 * 10 * tokens * hidden  # each layer has at least the inputs of its products and of SwiGLU
    again = make_model("additive", DENSE, activation_checkpointing=True).train()
    checkpointed = activation_bytes(again, some_batch(again))
    assert 2 * tokens * hidden < checkpointed < one / 2


def test_mixed_precision_keeps_less():
    model = make_model("additive", DENSE).train()
    batch = some_batch(model)
    mixed = activation_bytes(model, batch, torch.autocast("cpu", torch.bfloat16))
    assert mixed < activation_bytes(model, batch)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script_method:DeprecationWarning")  # PyTorch's compiler, on import
def test_backends_of_cuda_are_measured_as_the_cpu_computes():
    plain, fast = (make_model("additive", DENSE, **s).train() for s in ({}, {"attention": "flex", "compile": True}))
    assert activation_bytes(fast, some_batch(fast)) == activation_bytes(plain, some_batch(plain))
    assert fast.backbone.settings.attention == "flex"
