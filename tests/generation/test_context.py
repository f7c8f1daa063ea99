"""Forward passes through the key-value cache equal the packed forward pass."""

import numpy as np
import pytest
import torch
from conftest import TOKENS, make_document, make_model
from hypothesis import given, settings
from hypothesis import strategies as st
from properties import CLOSE, assert_cached_equals_packed, cached_hidden_states

from mot_lightning.generation import Context
from mot_lightning.generation.context import AT_ONCE

NAMES = ("text", "image", "speech")
TOWERS = [{}, {"all": [*NAMES]}, {"words": ["text"], "perception": ["image", "speech"]}]
random_layouts = settings(max_examples=20, deadline=None, derandomize=True)


@pytest.mark.parametrize("image", ["adaln", "additive", "diffusion"])
@pytest.mark.parametrize("towers", TOWERS, ids=["separate", "dense", "two"])
@pytest.mark.parametrize("one_by_one", [False, True], ids=["by segment", "by token"])
def test_cached_equals_packed(image, towers, one_by_one):
    model = make_model(image, towers)

    @random_layouts
    @given(kinds=st.lists(st.sampled_from(NAMES), max_size=4), rows=st.integers(1, 3), seed=st.integers(0, 99))
    def holds(kinds, rows, seed):
        rng = np.random.default_rng(seed)
        assert_cached_equals_packed(model, [make_document(rng, kinds) for _ in range(rows)], one_by_one)

    holds()


@pytest.fixture
def grown():
    """A model and a context of three sequences of different lengths."""
    model, rng = make_model(), np.random.default_rng(1)
    documents = [make_document(rng, ["text", "image", "speech"]) for _ in range(3)]
    _, context = cached_hidden_states(model, documents)
    assert len(set(context.lengths.tolist())) > 1
    return model, context


def an_image(model, seed=0, rows=3, n=4):
    latents = torch.randn(rows, n, TOKENS["image"].latent_dim, generator=torch.Generator().manual_seed(seed))
    return model.objectives["image"].embed_clean(latents)


@torch.no_grad()
def test_peek_does_not_change_the_context(grown):
    model, context = grown
    other = context[torch.arange(3)]
    for seed in range(2):
        x, condition = an_image(model, seed)
        context.peek(x, "image", False, condition)
    assert torch.equal(context.lengths, other.lengths)
    assert torch.equal(context.last, other.last)
    ids = torch.tensor([[1, 2], [3, 4], [5, 6]])
    x = model.objectives["text"].embed_clean(ids)[0]  # fewer tokens than in the peek
    assert torch.equal(context.append(x, "text", True), other.append(x, "text", True))


@torch.no_grad()
def test_peek_equals_append(grown):
    model, context = grown
    x, condition = an_image(model)
    seen = context.peek(x, "image", False, condition)
    assert torch.equal(seen, context.append(x, "image", False, condition))


@torch.no_grad()
def test_append_keeps_only_the_first_counts_tokens_of_each_row(grown):
    model, context = grown
    before, last = context.lengths.clone(), context.last.clone()
    x = model.objectives["text"].embed_clean(torch.tensor([[1, 2], [3, 4], [5, 6]]))[0]
    hidden = context.append(x, "text", True, counts=torch.tensor([2, 1, 0]))
    assert (context.lengths - before).tolist() == [2, 1, 0]
    assert torch.equal(context.last, torch.stack([hidden[0, 1], hidden[1, 0], last[2]]))


@torch.no_grad()
def test_indexed_context_is_a_copy_that_can_be_assigned_back(grown):
    model, context = grown
    whole = context[torch.arange(3)]
    rows = torch.tensor([2, 0])
    part = context[rows]
    x, condition = an_image(model, rows=2)
    part.append(x, "image", False, condition)
    long = model.objectives["text"].embed_clean(torch.ones(2, 200, dtype=torch.long))[0]  # exceeds the cache capacity
    part.append(long, "text", True)
    assert torch.equal(context.lengths, whole.lengths)
    assert torch.equal(context.last, whole.last)

    context[rows] = part
    assert (context.lengths - whole.lengths).tolist() == [204, 0, 204]
    x = model.objectives["text"].embed_clean(torch.tensor([[1], [2], [3]]))[0]
    after = context.append(x, "text", True)
    torch.testing.assert_close(after[1:2], whole[torch.tensor([1])].append(x[1:2], "text", True), **CLOSE)
    torch.testing.assert_close(after[rows], part.append(x[rows], "text", True), **CLOSE)


@pytest.mark.parametrize("towers", TOWERS, ids=["separate", "dense", "two"])
@torch.no_grad()
def test_batched_conditions_equal_single_conditions(towers):
    model = make_model(towers=towers)
    _, context = cached_hidden_states(model, [make_document(np.random.default_rng(1), ["text", "image"])])
    x, n = an_image(model, rows=1)[0], AT_ONCE + 2  # more than one chunk of conditions
    vectors = model.objectives["image"].time_embedding(torch.linspace(0, 1, n))
    together = [*context.adapt("image", vectors)]
    assert len(together) == n
    for at in (0, 1, AT_ONCE - 1, AT_ONCE, n - 1):
        alone = context.peek(x, "image", False, vectors[[at]])
        torch.testing.assert_close(context.peek(x, "image", False, together[at]), alone, **CLOSE)
    assert not torch.allclose(alone, context.peek(x, "image", False, together[0]))


def test_for_modality_equals_the_context_with_that_modality(grown):
    model, context = grown
    x, condition = an_image(model)
    other = context[torch.arange(3)]
    images = context.for_modality("image", False)
    with torch.no_grad():
        assert torch.equal(images.peek(x, condition), other.peek(x, "image", False, condition))
        assert torch.equal(images.append(x, condition), other.append(x, "image", False, condition))
    assert torch.equal(images.last, other.last)
    assert isinstance(context, Context)
