"""Generation on CUDA: greedy ids equal those on the CPU, and segments have the requested shape."""

import numpy as np
import pytest
import torch
from conftest import SMALL, make_document, make_model, needs_cuda
from properties import assert_a_sample_does_not_depend_on_its_batch, plain

from mot_lightning.generation import generate
from mot_lightning.model import MixtureOfTransformers
from mot_lightning.objectives import MaskedToken, NextToken
from mot_lightning.sequence import Segment, Tokens

DEVICE = "cuda"
pytestmark = [needs_cuda, pytest.mark.filterwarnings("ignore")]  # warnings of torch.compile


def prompts():
    """Five prompts of different lengths and modalities."""
    rng = np.random.default_rng(3)
    kinds = [["text"], [], ["image", "text"], ["speech", "image", "text"], ["text", "text"]]
    return [make_document(rng, names) for names in kinds]


def quick(image="adaln", **others):
    model = make_model(image, **others)
    model.objectives["image"].steps = 3
    return model


@pytest.mark.parametrize("others", [{}, {"kv_heads": 1}, {"compile": True}], ids=["mot", "shared_keys", "compiled"])
def test_greedy_ids_equal_those_on_cpu(others):
    settings = plain(("text", "speech"), max_length=12, temperature=0)
    model, on_cpu = quick(**others), quick(**{**others, "compile": False})
    ours, expected = generate(model.to(DEVICE), prompts(), settings), generate(on_cpu, prompts(), settings)
    for one, other in zip(ours, expected, strict=True):
        assert [segment.tokens.tolist() for segment in one] == [segment.tokens.tolist() for segment in other]


@pytest.mark.parametrize("image", ["adaln", "additive", "diffusion"])
@pytest.mark.parametrize("guidance", [1.0, {"image": 2.0, "text": 2.0}], ids=["plain", "guided"])
def test_segments_are_complete_and_on_the_device(image, guidance):
    model = quick(image).to(DEVICE)
    settings = plain(("text", "image", "speech"), max_length=10, guidance=guidance)
    for text, pixels, speech in generate(model, prompts(), settings):
        assert len(text.tokens) <= 10
        assert len(speech.tokens) <= 10
        assert pixels.tokens.shape == (4, 3)
        assert pixels.tokens.isfinite().all()
        assert {segment.tokens.device.type for segment in (text, pixels, speech)} == {DEVICE}


def test_masked_generation_leaves_no_mask_ids():
    torch.manual_seed(0)
    kinds = {"text": Tokens(vocab_size=4), "codes": Tokens(vocab_size=5, length=8)}
    model = MixtureOfTransformers({"text": NextToken(), "codes": MaskedToken(steps=3)}, kinds, "text", SMALL)
    words = [[Segment("text", torch.arange(n))] for n in (1, 4, 2)]
    for (codes,) in generate(model.eval().to(DEVICE), words, plain(("codes",), guidance=2.0)):
        assert codes.tokens.shape == (8,)
        assert 0 <= int(codes.tokens.min()) <= int(codes.tokens.max()) < 5


def test_sample_does_not_depend_on_its_batch():
    settings = plain(("image", "speech"), max_length=10, guidance=2.0)
    assert_a_sample_does_not_depend_on_its_batch(quick().to(DEVICE), prompts(), settings)


def test_bfloat16_model_generates():
    model = quick().bfloat16().to(DEVICE)
    words = [[segment for segment in prompt if segment.modality == "text"] for prompt in prompts()]
    for (text,) in generate(model, words, plain(("text",), max_length=10)):
        assert len(text.tokens) <= 10


@pytest.mark.parametrize("image", ["adaln", "additive", "diffusion"])
@pytest.mark.parametrize("compile", [False, True])
def test_captured_generation_equals_uncaptured_generation(image, compile):
    settings = plain(("text", "image", "speech"), max_length=12, temperature=0, guidance={"image": 2.0, "text": 2.0})
    models = [quick(image, cuda_graphs=graphs, compile=compile).cuda() for graphs in (True, False)]
    for model in models:
        model.objectives["image"].steps = 6
    for one, other in zip(*(generate(model, prompts(), settings) for model in models), strict=True):
        for ours, expected in zip(one, other, strict=True):
            torch.testing.assert_close(ours.tokens, expected.tokens, rtol=1e-3, atol=1e-3)
