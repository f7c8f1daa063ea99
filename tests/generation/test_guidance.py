"""Classifier-free guidance of ids: what the prompt adds, told apart from what would come anyway."""

import pytest
import torch
from conftest import make_model
from properties import assert_a_sample_does_not_depend_on_its_batch, hidden_states

from mot_lightning.generation import GenerationSettings, Trained, generate
from mot_lightning.sequence import Segment

PROMPTS = [[Segment("speech", torch.tensor(ids))] for ids in ([1, 2, 3], [4], [5, 6])]


def test_guided_greedy_ids_are_those_of_two_packed_forwards():
    model, scale = make_model(), 2.5
    settings = GenerationSettings(("text",), max_length=6, temperature=0, guidance={"text": scale})
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
        generate(model, prompts, GenerationSettings(("text",), max_length=8, guidance=guidance), samples=[0])
        for prompts, guidance in ((PROMPTS[:1], {"text": 0.0}), ([[]], 1.0))
    )
    assert torch.equal(forgot[0][0].tokens, none[0][0].tokens)


def test_a_number_guides_what_is_made_as_a_whole_and_leaves_text_alone():
    model = make_model()
    made = [
        generate(model, PROMPTS, GenerationSettings(("text",), max_length=8, guidance=guidance))
        for guidance in (3.0, 1.0, {"text": 3.0})
    ]
    ids = [[document[0].tokens.tolist() for document in documents] for documents in made]
    assert ids[0] == ids[1] != ids[2]


def test_what_comes_after_guided_text_has_read_it():
    model = make_model()
    model.objectives["image"].steps = 2
    settings = GenerationSettings(("text", "image", "speech"), max_length=6, guidance={"text": 2.0, "image": 3.0})
    assert_a_sample_does_not_depend_on_its_batch(model, PROMPTS, settings)
    (written,) = generate(model, PROMPTS[:1], settings)
    after = GenerationSettings(("image",), guidance=3.0, seed=9)
    again = [generate(model, [[*PROMPTS[0], written[0]]], after)[0], generate(model, [PROMPTS[0]], after)[0]]
    assert not torch.equal(again[0][0].tokens, again[1][0].tokens)


@pytest.mark.parametrize(
    ("alone", "settings", "message"),
    [
        ((), {"guidance": 2.0}, "guidance of image is 2, wanted 1: nothing was learned without a prompt"),
        (("image",), {"guidance": {"text": 1.5}}, "guidance of text is 1.5, wanted 1: only image was learned"),
    ],
)
def test_guidance_that_was_not_trained_for_is_refused_in_one_line(alone, settings, message):
    grammar = make_model().grammar
    with pytest.raises(ValueError, match=message) as refused:
        Trained(64, alone).check(grammar, PROMPTS, GenerationSettings(**settings))
    assert "\n" not in str(refused.value)
    Trained(64, alone).check(grammar, PROMPTS, GenerationSettings(("speech",), **settings))  # is not made


def test_a_prompt_longer_than_any_document_is_refused_in_one_line():
    grammar = make_model().grammar
    Trained(6, ()).check(grammar, PROMPTS, GenerationSettings())
    with pytest.raises(ValueError, match=r"prompt 0 has 6 tokens, wanted at most 5, the data.row_length of the run"):
        Trained(5, ()).check(grammar, PROMPTS, GenerationSettings())
