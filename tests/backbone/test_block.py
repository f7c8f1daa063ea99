"""Compiled, recomputed and bfloat16 layers match the eager float32 model."""

import shutil

import numpy as np
import pytest
import torch
from conftest import make_document, make_model
from properties import CLOSE, total_loss
from torch._dynamo.testing import CompileCounterWithBackend

from mot_lightning.backbone import block
from mot_lightning.sequence import pack

NAMES = ("text", "image", "speech")


def batch(model, seed, kinds=NAMES, documents=3):
    rng = np.random.default_rng(seed)
    return pack([make_document(rng, kinds) for _ in range(documents)], model.grammar, 64)


def loss_and_gradients(model, seed=0, **others):
    model.zero_grad()
    loss = total_loss(model, batch(model, seed, **others))
    loss.backward()
    return loss.detach(), {name: parameter.grad for name, parameter in model.named_parameters()}


def assert_same(model, plain, **others):
    (loss, ours), (expected, theirs) = loss_and_gradients(model, **others), loss_and_gradients(plain, **others)
    torch.testing.assert_close(loss, expected, **CLOSE)
    for name in theirs:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-4, atol=1e-4, msg=lambda m, name=name: name + m)


@pytest.fixture
def counted(monkeypatch):
    """Compile the block regions with aot_eager, which needs no C++ compiler, and count graphs."""
    torch._dynamo.reset()
    counter = CompileCounterWithBackend("aot_eager")
    block._compiled()  # sets the options of the compiler
    regions = tuple(torch.compile(region, dynamic=True, backend=counter) for region in block.REGIONS)
    monkeypatch.setattr(block, "_compiled", lambda: regions)
    yield counter
    torch._dynamo.reset()


@pytest.mark.filterwarnings("ignore")  # PyTorch's own warnings while compiling
def test_compiled_equals_eager_without_recompiling_for_new_lengths(counted):
    model, plain = make_model(compile=True).train(), make_model().train()
    for seed in range(3):
        assert_same(model, plain, seed=seed)
    graphs = counted.frame_count
    assert 0 < graphs <= 7  # two or three per region, by its inputs; independent of depth and towers
    for seed in range(3, 12):
        loss_and_gradients(model, seed, documents=2 + seed % 4)
    assert counted.frame_count == graphs


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "others",
    [{"kv_heads": 1, "norm": "res_post", "rope_2d": True}, pytest.param({"qk_norm": False}, marks=pytest.mark.slow)],
    ids=["all at once", "no qk norm"],
)
def test_compiled_equals_eager_for_other_settings(counted, others):
    assert_same(make_model(compile=True, **others).train(), make_model(**others).train())
    assert counted.frame_count > 0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
def test_inductor_compiled_equals_eager():
    torch._dynamo.reset()
    block._compiled.cache_clear()
    assert_same(make_model(compile=True).train(), make_model().train())


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_activation_checkpointing_keeps_loss_and_gradients(dropout):
    models = [make_model(activation_checkpointing=value, dropout=dropout).train() for value in (True, False)]
    results = []
    for model in models:
        torch.manual_seed(0)
        results.append(loss_and_gradients(model))
    (loss, ours), (expected, theirs) = results
    assert torch.equal(loss, expected)
    for name in theirs:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-6, atol=1e-6)


def test_bfloat16_loss_is_close_to_float32():
    model = make_model()
    expected = total_loss(model, batch(model, 0))
    with torch.autocast("cpu", torch.bfloat16):
        loss = total_loss(model, batch(model, 0))
    loss.backward()
    torch.testing.assert_close(loss.float(), expected, rtol=0.05, atol=0.0)
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
