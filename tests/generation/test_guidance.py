"""Classifier-free guidance of ids."""

import pytest
import torch
from conftest import make_model
from properties import (
    assert_a_sample_does_not_depend_on_its_batch,
    assert_same_segments,
    hidden_states,
    plain,
)

from mot_lightning.generation import generate
from mot_lightning.sequence import Segment

PROMPTS = [[Segment("speech", torch.tensor(ids))] for ids in ([1, 2, 3], [4], [5, 6])]


def test_guided_greedy_ids_match_two_packed_forwards():
    model, scale = make_model(), 2.5
    settings = plain(("text",), max_length=6, temperature=0, guidance={"text": scale})
    for prompt, generated in zip(PROMPTS, generate(model, PROMPTS, settings), strict=True):
        ids = generated[0].tokens
        (prompted,), (free,) = hidden_states(model, [[*prompt, *generated]]), hidden_states(model, [generated])
        start, stop = model.grammar.length(prompt), model.grammar.stop("text") + 1
        logits = [model.control.head(h)[:, :stop] for h in (prompted[start:], free[1:])]
        guided = (logits[1] + scale * (logits[0] - logits[1]))[: len(ids)]
        assert guided.argmax(-1).tolist() == ids.tolist()


def test_guidance_0_equals_text_without_a_prompt():
    model = make_model()
    zero_guidance, no_prompt = (
        generate(model, prompts, plain(("text",), max_length=8, guidance=guidance), samples=[0])
        for prompts, guidance in ((PROMPTS[:1], {"text": 0.0}), ([[]], 1.0))
    )
    assert torch.equal(zero_guidance[0][0].tokens, no_prompt[0][0].tokens)


def test_scalar_guidance_does_not_apply_to_causal_text():
    model = make_model()
    generated = [
        generate(model, PROMPTS, plain(("text",), max_length=8, guidance=guidance))
        for guidance in (3.0, 1.0, {"text": 3.0})
    ]
    ids = [[document[0].tokens.tolist() for document in documents] for documents in generated]
    assert ids[0] == ids[1] != ids[2]


def test_segments_after_guided_text_are_conditioned_on_it():
    model = make_model()
    model.objectives["image"].steps = 2
    settings = plain(("text", "image", "speech"), max_length=6, guidance={"text": 2.0, "image": 3.0})
    assert_a_sample_does_not_depend_on_its_batch(model, PROMPTS, settings)
    (generated,) = generate(model, PROMPTS[:1], settings)
    after = plain(("image",), guidance=3.0, seed=9)
    again = [generate(model, [[*PROMPTS[0], generated[0]]], after)[0], generate(model, [PROMPTS[0]], after)[0]]
    assert not torch.equal(again[0][0].tokens, again[1][0].tokens)


NEGATIVE = [Segment("text", torch.tensor([9, 8])), Segment("speech", torch.tensor([7]))]


def test_negative_prompt_takes_the_place_of_the_empty_document():
    model, scale = make_model(), 2.5
    settings = plain(("text",), max_length=6, temperature=0, guidance={"text": scale})
    written = generate(model, PROMPTS, settings, negative_prompt=NEGATIVE)
    for prompt, segments in zip(PROMPTS, written, strict=True):
        ids, stop = segments[0].tokens, model.grammar.stop("text") + 1
        states = [hidden_states(model, [[*context, *segments]])[0] for context in (prompt, NEGATIVE)]
        wanted, avoided = (model.control.head(h[-2 - len(ids) : -1])[:, :stop] for h in states)
        guided = (avoided + scale * (wanted - avoided))[: len(ids)]
        assert guided.argmax(-1).tolist() == ids.tolist()
    assert any(len(segments[0].tokens) for segments in written)
    ordinary = generate(model, PROMPTS, settings)
    assert any(a[0].tokens.tolist() != b[0].tokens.tolist() for a, b in zip(written, ordinary, strict=True))


def test_negative_prompt_equal_to_the_prompt_equals_no_guidance():
    model = make_model()
    model.objectives["image"].steps = 3
    for prompt in PROMPTS:
        (guided,) = generate(model, [prompt], plain(("image",), guidance=3.0), negative_prompt=prompt)
        (unguided,) = generate(model, [prompt], plain(("image",)))
        torch.testing.assert_close(guided[0].tokens, unguided[0].tokens, rtol=1e-3, atol=1e-3)


def test_negative_prompt_applies_to_each_sample_of_a_batch_alike():
    model = make_model()
    model.objectives["image"].steps = 2
    settings = plain(("text", "image"), max_length=4, guidance=2.0)
    together = generate(model, PROMPTS, settings, negative_prompt=NEGATIVE)
    for number, prompt in enumerate(PROMPTS):
        (alone,) = generate(model, [prompt], settings, samples=[number], negative_prompt=NEGATIVE)
        assert_same_segments(together[number], alone)


def test_negative_prompt_without_guidance_raises_one_line():
    message = "a negative_prompt is given, but guidance is 1 for text, wanted a higher scale"
    with pytest.raises(ValueError, match=message) as refusal:
        generate(make_model(), PROMPTS, plain(("text",), guidance=3.0), negative_prompt=NEGATIVE)
    assert "\n" not in str(refusal.value)
    wrong = [Segment("text", torch.tensor([99]))]
    with pytest.raises(ValueError, match="ids are 99 to 99, wanted 0 to 19"):
        generate(make_model(), PROMPTS, plain(("image",), guidance=3.0), negative_prompt=wrong)
