"""Classifier-free guidance of ids: what the prompt adds, told apart from what would come anyway."""

import torch
from conftest import make_model
from properties import assert_a_sample_does_not_depend_on_its_batch, hidden_states, plain

from mot_lightning.generation import generate
from mot_lightning.sequence import Segment

PROMPTS = [[Segment("speech", torch.tensor(ids))] for ids in ([1, 2, 3], [4], [5, 6])]


def test_guided_greedy_ids_are_those_of_two_packed_forwards():
    model, scale = make_model(), 2.5
    settings = plain(("text",), max_length=6, temperature=0, guidance={"text": scale})
    for prompt, written in zip(PROMPTS, generate(model, PROMPTS, settings), strict=True):
        ids = written[0].tokens
        (prompted,), (free,) = hidden_states(model, [[*prompt, *written]]), hidden_states(model, [written])
        start, stop = model.grammar.length(prompt), model.grammar.stop("text") + 1
        logits = [model.control.head(h)[:, :stop] for h in (prompted[start:], free[1:])]
        guided = (logits[1] + scale * (logits[0] - logits[1]))[: len(ids)]
        assert guided.argmax(-1).tolist() == ids.tolist()


def test_text_that_forgets_its_prompt_is_text_without_one():
    model = make_model()
    forgot, none = (
        generate(model, prompts, plain(("text",), max_length=8, guidance=guidance), samples=[0])
        for prompts, guidance in ((PROMPTS[:1], {"text": 0.0}), ([[]], 1.0))
    )
    assert torch.equal(forgot[0][0].tokens, none[0][0].tokens)


def test_a_number_guides_what_is_made_as_a_whole_and_leaves_text_alone():
    model = make_model()
    written = [
        generate(model, PROMPTS, plain(("text",), max_length=8, guidance=guidance))
        for guidance in (3.0, 1.0, {"text": 3.0})
    ]
    ids = [[document[0].tokens.tolist() for document in documents] for documents in written]
    assert ids[0] == ids[1] != ids[2]


def test_what_comes_after_guided_text_has_read_it():
    model = make_model()
    model.objectives["image"].steps = 2
    settings = plain(("text", "image", "speech"), max_length=6, guidance={"text": 2.0, "image": 3.0})
    assert_a_sample_does_not_depend_on_its_batch(model, PROMPTS, settings)
    (written,) = generate(model, PROMPTS[:1], settings)
    after = plain(("image",), guidance=3.0, seed=9)
    again = [generate(model, [[*PROMPTS[0], written[0]]], after)[0], generate(model, [PROMPTS[0]], after)[0]]
    assert not torch.equal(again[0][0].tokens, again[1][0].tokens)
