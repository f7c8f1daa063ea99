"""Generation: order and shape of segments, reproducibility, and independence of the batch."""

import numpy as np
import pytest
import torch
from conftest import TOKENS, make_document, make_model
from properties import (
    assert_a_sample_does_not_depend_on_its_batch,
    assert_same_segments,
    hidden_states,
    plain,
    total_loss,
)

from mot_lightning.generation import generate
from mot_lightning.sequence import Segment, pack

NAMES = ("text", "image", "speech")
every_image = pytest.mark.parametrize("image", ["adaln", "additive", "diffusion"])


def quick(image="adaln", towers=None):
    model = make_model(image, towers)
    model.objectives["image"].steps = 3
    return model


def prompts():
    """Five prompts of different lengths and modalities."""
    rng = np.random.default_rng(3)
    kinds = [["text"], [], ["image", "text"], ["speech", "image", "text"], ["text", "text"]]
    return [make_document(rng, names) for names in kinds]


@every_image
@pytest.mark.parametrize("guidance", [1.0, 2.0])
@pytest.mark.parametrize("modalities", [("text",), ("speech",), ("image",), ("image", "speech"), ("image", "image")])
def test_sample_does_not_depend_on_its_batch(image, guidance, modalities):
    settings = plain(modalities, max_length=10, guidance=guidance)
    assert_a_sample_does_not_depend_on_its_batch(quick(image), prompts(), settings)


@pytest.mark.parametrize("towers", [{"all": [*NAMES]}, {"words": ["text"], "perception": ["image", "speech"]}])
def test_sample_does_not_depend_on_its_batch_in_shared_towers(towers):
    settings = plain(("image", "text"), max_length=10, guidance=2.0)
    assert_a_sample_does_not_depend_on_its_batch(quick(towers=towers), prompts(), settings)


@pytest.mark.parametrize("modalities", [("text", "image"), ("speech", "text", "image"), ("text", "speech"), ()])
def test_sample_does_not_depend_on_the_lengths_of_other_samples(modalities):
    model = make_model("additive")
    model.objectives["image"].steps = 3
    settings = plain(modalities, max_length=12, max_segments=4)
    assert_a_sample_does_not_depend_on_its_batch(model, [[] for _ in range(5)], settings)


def test_greedy_ids_are_the_argmax_of_a_packed_forward():
    model = quick()
    for prompt, generated in zip(
        prompts(), generate(model, prompts(), plain(("text",), max_length=6, temperature=0)), strict=True
    ):
        ids = generated[0].tokens
        (hidden,) = hidden_states(model, [[*prompt, *generated]])
        begin = model.grammar.length(prompt)
        logits = model.control.head(hidden[begin : begin + len(ids) + 1])[:, : model.grammar.stop("text") + 1]
        likeliest = logits.argmax(-1).tolist()
        assert likeliest[: len(ids)] == ids.tolist()
        assert len(ids) == 6 or likeliest[-1] == model.grammar.stop("text")


@pytest.mark.parametrize("modalities", [("speech", "image", "text", "image"), ("text",), ("image", "speech")])
def test_segments_follow_the_requested_order(modalities):
    for generated in generate(quick(), prompts(), plain(modalities, max_length=5)):
        assert tuple(segment.modality for segment in generated) == modalities


@pytest.mark.parametrize("modalities", [(), ("text", "speech", "image")])
def test_generated_tokens_are_decodable(modalities):
    settings = plain(modalities, max_segments=6, max_length=7)
    lengths = []
    for generated in generate(quick(), [[]] * 12, settings):
        assert len(generated) <= 6
        for name, tokens, *_ in generated:
            kind = TOKENS[name]
            if kind.discrete:
                assert tokens.dtype == torch.long
                assert ((tokens >= 0) & (tokens < kind.vocab_size)).all()  # no stop, no control token
                assert len(tokens) <= 7
                lengths.append(len(tokens))
            else:
                assert tokens.shape == (kind.length, kind.latent_dim)
                assert tokens.isfinite().all()
    assert min(lengths) < 7 == max(lengths)  # some end with a stop id, some at the limit


def test_model_chooses_modalities_and_document_length():
    documents = generate(quick(), [[]] * 40, plain(max_segments=4, max_length=2))
    assert {segment.modality for generated in documents for segment in generated} == set(NAMES)
    lengths = [len(generated) for generated in documents]
    assert min(lengths) < 4 == max(lengths)


def test_greedy_modality_is_the_argmax_of_a_packed_forward():
    model = quick()
    grammar = model.grammar
    ids = [grammar.end_of_document, *grammar.begin.values()]
    settings = plain(max_segments=1, max_length=2, temperature=0)
    for prompt, generated in zip(prompts(), generate(model, prompts(), settings), strict=True):
        (hidden,) = hidden_states(model, [prompt])
        best = ids[model.control.head(hidden[-1])[ids].argmax()]
        assert best == (grammar.begin[generated[0].modality] if generated else grammar.end_of_document)


@every_image
def test_same_seed_reproduces_the_sample_and_another_differs(image):
    model = quick(image)
    (one,), (again,), (other,) = (generate(model, [[]], plain(NAMES, max_length=8, seed=seed)) for seed in (1, 1, 2))
    assert all(torch.equal(a.tokens, b.tokens) for a, b in zip(one, again, strict=True))
    assert not torch.equal(one[1].tokens, other[1].tokens)


def test_samples_of_one_prompt_differ_by_sample_number():
    model = quick()
    settings = plain(("image",))
    samples = generate(model, [[], [], []], settings, samples=[0, 1, 0])
    assert not torch.equal(samples[0][0].tokens, samples[1][0].tokens)
    assert_same_segments(samples[0], samples[2])


@every_image
def test_guidance_1_is_unguided_and_0_is_unconditional(image):
    model = quick(image)

    def image_after(prompt, guidance):
        settings = plain(("image",), guidance=guidance)
        return generate(model, [prompt], settings)[0][0].tokens

    prompt = [Segment("text", torch.tensor([3, 1, 4]))]
    unguided = image_after(prompt, 1.0)
    torch.testing.assert_close(image_after(prompt, 1 + 1e-6), unguided, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(image_after(prompt, 0.0), image_after([], 1.0), rtol=1e-4, atol=1e-4)
    assert (image_after(prompt, 3.0) - unguided).abs().max() > 1e-3
    torch.testing.assert_close(
        image_after([], 3.0), image_after([], 1.0), rtol=1e-3, atol=1e-3
    )  # no prompt to guide by


def test_generated_document_can_be_trained_on():
    model = quick()
    (generated,) = generate(model, [[]], plain(("image", "text"), max_length=4))
    batch = pack([generated], model.grammar, 64)
    total_loss(model, batch).backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
