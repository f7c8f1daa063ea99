"""On CUDA attention and a whole step are what they are on the CPU, in float32 and in half precision."""

import re
from collections import defaultdict

import numpy as np
import pytest
import torch
from attentions import GRAMMAR, by_definition, layout_of, results
from conftest import make_document, make_model, needs_cuda, on

from mot_lightning.backbone import build_attention
from mot_lightning.objectives import FlowMatching
from mot_lightning.seeds import generator_for
from mot_lightning.sequence import Grammar, Segment, Tokens, pack

DEVICE = "cuda"
pytestmark = [needs_cuda, pytest.mark.filterwarnings("ignore")]  # of compiling

ALL = ["text", "image", "speech"]


@pytest.fixture(autouse=True)
def _compile_anew():
    torch._dynamo.reset()  # it keeps eight graphs, and each test has its own


def few():
    """Less than a tile."""
    return layout_of([ALL, ["image"], ["text", "speech"]], 0)


def many():
    """Short documents over several tiles."""
    return layout_of([ALL, ["speech", "image"]] * 20, 1)


def long():
    """Segments that fill tiles."""
    free = Grammar({**GRAMMAR.tokens, "image": Tokens(latent_dim=3)}, GRAMMAR.causal, "text", GRAMMAR.groups)
    words = Segment("text", torch.zeros(300, dtype=torch.long))
    sound, image = words._replace(modality="speech"), Segment("image", torch.zeros(290, 3))
    return pack([[words, image, sound], [sound, image], [image, words]], free, 1000).layout


def error(ours, exact):
    return float((ours.double().cpu() - exact).norm() / exact.norm())


@pytest.mark.parametrize(
    ("dtype", "most"), [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)], ids=["float32", "bfloat16"]
)
@pytest.mark.parametrize(("heads", "key_heads", "size"), [(2, 2, 64), (6, 2, 16), (2, 1, 8)])
@pytest.mark.parametrize("layout", [few, many, long])
@pytest.mark.parametrize("backend", ["flex", "sdpa"])
def test_a_backend_is_the_definition_forward_and_backward(backend, layout, heads, key_heads, size, dtype, most):
    layout, generator = layout(), torch.Generator().manual_seed(0)
    shapes = [(len(layout.slot), h, size) for h in (heads, key_heads, key_heads, heads)]
    q, k, v, grad = (torch.randn(shape, generator=generator).to(dtype) for shape in shapes)
    exact = [x.double().requires_grad_() for x in (q, k, v)]
    expected = results(lambda *qkv: by_definition(layout, *qkv), exact, grad.double())
    tensors = [x.to(DEVICE).requires_grad_() for x in (q, k, v)]
    there = type(layout)(*(x.to(DEVICE) if isinstance(x, torch.Tensor) else x for x in layout))
    ours = results(lambda *qkv: build_attention(backend, there, dtype)(0, *qkv), tensors, grad.to(DEVICE))
    for name, got, want in zip(("out", "q", "k", "v"), ours, expected, strict=True):
        assert got.dtype == dtype
        assert error(got, want) < most, name


class Fixed(FlowMatching):
    """Noise and times are no draws, so that two devices have the same."""

    def sample_times(self, cap, generator):
        return cap / 2

    def corrupt(self, x_0, noise, t):
        return super().corrupt(x_0, x_0.flip(0), t)


def loss_and_gradients(model, batch, dtype, device):
    with torch.autocast(device, dtype, enabled=dtype != torch.float32):
        losses = model(batch, generator_for(0, device=device)).values()
        loss = sum((one.loss * one.weight).sum() for one in losses)
    loss.backward()
    by_kind = defaultdict(list)  # whatever the layer or the tower, so that no small gradient hides behind a large one
    for name, parameter in model.named_parameters():
        by_kind[re.sub(r"\d+", "i", name)].append(parameter.grad.flatten())
    return loss.detach()[None], {kind: torch.cat(gradients) for kind, gradients in by_kind.items()}


@pytest.mark.parametrize(
    ("dtype", "most"), [(torch.float32, 1e-4), (torch.bfloat16, 5e-2)], ids=["float32", "bfloat16"]
)
@pytest.mark.parametrize("compile", [False, True])
@pytest.mark.parametrize("others", [{}, {"kv_heads": 1}, {"towers": {"all": ALL}}], ids=["mot", "shared_keys", "dense"])
def test_a_step_is_the_step_of_the_cpu(compile, others, dtype, most):
    rng = np.random.default_rng(0)
    documents = [make_document(rng, kinds) for kinds in [ALL, ["image", "text"], ["speech"]] * 8]
    model, other = (make_model(Fixed(), compile=c, **others).train() for c in (False, compile))
    batch = pack(documents, model.grammar, 64)
    loss, gradients = loss_and_gradients(model, batch, torch.float32, "cpu")
    loss_there, ours = loss_and_gradients(other.to(DEVICE), on(DEVICE, batch), dtype, DEVICE)
    assert error(loss_there, loss.double()) < most
    assert error(torch.cat([*ours.values()]), torch.cat([*gradients.values()]).double()) < most
    for kind, expected in gradients.items():
        assert error(ours[kind], expected.double()) < 10 * most, kind
