"""Classifier-free guidance of ids."""

import torch
from conftest import make_model
from properties import assert_a_sample_does_not_depend_on_its_batch, hidden_states, plain

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
