"""Memory that a forward pass keeps, alone and in training."""

import numpy as np
import pytest
import torch
from conftest import make_document, make_model

from mot_lightning.analysis.ledger.activations import activation_bytes, watch_forward
from mot_lightning.sequence import Segment, pack

DENSE = {"all": ["text", "image", "speech"]}


def some_batch(model, copies=1):
    rng = np.random.default_rng(0)
    return pack(copies * [make_document(rng, ["text", "image", "speech"])], model.grammar, 64)


def test_activations_grow_with_tokens_and_shrink_with_checkpointing():
    model = make_model("additive", DENSE).train()
    one, three = (activation_bytes(model, some_batch(model, copies)) for copies in (1, 3))
    assert 2 * one < three < 4 * one
    tokens, hidden = sum(some_batch(model).layout.counts), 4 * 32  # bytes of a hidden state
    assert one > 2 * 10 * tokens * hidden  # each layer has at least the inputs of its products and of SwiGLU
    again = make_model("additive", DENSE, activation_checkpointing=True).train()
    checkpointed = activation_bytes(again, some_batch(again))
    assert 2 * tokens * hidden < checkpointed < one / 2


def test_weights_are_none_of_them():
    model = make_model("additive", DENSE).train()
    short = pack([[Segment("text", torch.arange(1))]], model.grammar, 4)
    weights = 4 * sum(p.numel() for p in model.backbone.layers.parameters())
    assert activation_bytes(model, short) < weights / 2


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


@pytest.mark.parametrize("settings", [{}, {"activation_checkpointing": True}])
def test_watched_pass_is_counted_once_and_gives_the_same_gradients(settings):
    model, counted = make_model("additive", DENSE, **settings).train(), []
    batch = some_batch(model)

    def gradients():
        model.zero_grad()
        sum(one.loss.sum() for one in model(batch, 0).values()).backward()
        return [p.grad.clone() for p in model.parameters() if p.grad is not None]

    plain = gradients()
    watch_forward(model, batch, counted.append)
    watched, later = gradients(), gradients()
    assert counted == [activation_bytes(model, batch)]
    assert all(torch.equal(a, b) and torch.equal(a, c) for a, b, c in zip(plain, watched, later, strict=True))


def test_pass_that_fails_leaves_no_hooks():
    model = make_model("additive", DENSE).train()
    watch_forward(model, some_batch(model), lambda _: None)
    with pytest.raises(TypeError):
        model(None)
    assert not model._forward_pre_hooks
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x) or x, lambda x: x):
        model(some_batch(model))
    assert kept
