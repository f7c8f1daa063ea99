"""Attention backends and a full training step on CUDA match the CPU, in float32 and bfloat16."""

import re
from collections import defaultdict

import numpy as np
import pytest
import torch
from attentions import GRAMMAR, layout_of, reference_attention, results
from conftest import make_document, make_model, needs_cuda, on

from mot_lightning.backbone import build_attention
from mot_lightning.objectives import FlowMatching
from mot_lightning.sequence import Grammar, Segment, Tokens, pack

DEVICE = "cuda"
pytestmark = [needs_cuda, pytest.mark.filterwarnings("ignore")]  # warnings of torch.compile

ALL = ["text", "image", "speech"]


@pytest.fixture(autouse=True)
def _compile_anew():
    torch._dynamo.reset()  # Dynamo caches at most eight graphs, and each test compiles its own


def few():
    """Less than one tile of tokens."""
    return layout_of([ALL, ["image"], ["text", "speech"]], 0)


def many():
    """Short documents that span several tiles."""
    return layout_of([ALL, ["speech", "image"]] * 20, 1)


def long():
    """Segments longer than a tile."""
    free = Grammar({**GRAMMAR.tokens, "image": Tokens(latent_dim=3)}, GRAMMAR.causal, "text", GRAMMAR.groups)
    words = Segment("text", torch.zeros(300, dtype=torch.long))
    sound, image = words._replace(modality="speech"), Segment("image", torch.zeros(290, 3))
    return pack([[words, image, sound], [sound, image], [image, words]], free, 1000).layout


def error(ours, exact):
    return float((ours.double().cpu() - exact).norm() / exact.norm())


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)], ids=["float32", "bfloat16"]
)
@pytest.mark.parametrize(("heads", "key_heads", "size"), [(2, 2, 64), (6, 2, 16), (2, 1, 8)])
@pytest.mark.parametrize("layout", [few, many, long])
@pytest.mark.parametrize("backend", ["flex", "sdpa"])
def test_backend_matches_reference_forward_and_backward(backend, layout, heads, key_heads, size, dtype, tolerance):
    layout, generator = layout(), torch.Generator().manual_seed(0)
    shapes = [(len(layout.slot), h, size) for h in (heads, key_heads, key_heads, heads)]
    q, k, v, grad = (torch.randn(shape, generator=generator).to(dtype) for shape in shapes)
    exact = [x.double().requires_grad_() for x in (q, k, v)]
    expected = results(lambda *qkv: reference_attention(layout, *qkv), exact, grad.double())
    tensors = [x.to(DEVICE).requires_grad_() for x in (q, k, v)]
    cuda_layout = type(layout)(*(x.to(DEVICE) if isinstance(x, torch.Tensor) else x for x in layout))
    ours = results(lambda *qkv: build_attention(backend, cuda_layout, dtype)(0, *qkv), tensors, grad.to(DEVICE))
    for name, got, want in zip(("out", "q", "k", "v"), ours, expected, strict=True):
        assert got.dtype == dtype
        assert error(got, want) < tolerance, name


class Fixed(FlowMatching):
    """Flow matching with deterministic times and noise, equal on both devices."""

    def sample_times(self, cap, noise):
        return cap / 2

    def corrupt(self, x_0, noise, t):
        return super().corrupt(x_0, x_0.flip(0), t)


def loss_and_gradients(model, batch, dtype, device):
    with torch.autocast(device, dtype, enabled=dtype != torch.float32):
        losses = model(batch, 0).values()
        loss = sum((one.loss * one.weight).sum() for one in losses)
    loss.backward()
    by_kind = defaultdict(list)  # pooled over layers and towers: kinds with small gradients are compared separately
    for name, parameter in model.named_parameters():
        by_kind[re.sub(r"\d+", "i", name)].append(parameter.grad.flatten())
    return loss.detach()[None], {kind: torch.cat(gradients) for kind, gradients in by_kind.items()}


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.bfloat16, 5e-2)], ids=["float32", "bfloat16"]
)
@pytest.mark.parametrize("compile", [False, True])
@pytest.mark.parametrize("others", [{}, {"kv_heads": 1}, {"towers": {"all": ALL}}], ids=["mot", "shared_keys", "dense"])
def test_training_step_on_cuda_matches_cpu(compile, others, dtype, tolerance):
    rng = np.random.default_rng(0)
    documents = [make_document(rng, kinds) for kinds in [ALL, ["image", "text"], ["speech"]] * 8]
    model, other = (make_model(Fixed(), compile=c, **others).train() for c in (False, compile))
    batch = pack(documents, model.grammar, 64)
    loss, gradients = loss_and_gradients(model, batch, torch.float32, "cpu")
    cuda_loss, ours = loss_and_gradients(other.to(DEVICE), on(DEVICE, batch), dtype, DEVICE)
    assert error(cuda_loss, loss.double()) < tolerance
    assert error(torch.cat([*ours.values()]), torch.cat([*gradients.values()]).double()) < tolerance
    for kind, expected in gradients.items():
        assert error(ours[kind], expected.double()) < 10 * tolerance, kind
