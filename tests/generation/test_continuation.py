"""An open segment is continued: the new ids are those of a document whose segment has the old ones before them."""

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
from mot_lightning.objectives.sampling import repetition_penalty
from mot_lightning.sequence import Segment

IMAGE = Segment("image", torch.randn(4, 3, generator=torch.Generator().manual_seed(0)))
PROMPTS = {
    "text": [
        [Segment("text", torch.tensor([1, 2, 3]))],
        [IMAGE, Segment("text", torch.tensor([7]))],
        [Segment("speech", torch.tensor([5, 6])), IMAGE, Segment("text", torch.empty(0, dtype=torch.long))],
    ],
    "speech": [
        [Segment("text", torch.tensor([1])), Segment("speech", torch.tensor([4, 4]))],
        [Segment("speech", torch.tensor([5, 6, 7, 8]))],
    ],
}
OPEN = [*PROMPTS["text"], *PROMPTS["speech"]]


def opened(modalities=(), **settings):
    return plain(modalities, **{"continue_final_segment": True, **settings})


def joined(prompt, continued):
    """The document whose last segment is that of the prompt, with the new ids behind it."""
    ids = torch.cat([prompt[-1].tokens, continued.tokens])
    return [*prompt[:-1], prompt[-1]._replace(tokens=ids)]


def logits_of_new_ids(model, prompt, continued, without_prompt=False):
    """The logits (n + 1, v) from which a packed forward predicts each new id and what comes after the last."""
    document = joined(prompt, continued)
    (hidden,) = hidden_states(model, [document[-1:] if without_prompt else document])
    name = continued.modality
    first = -2 - len(continued.tokens)  # before the end token comes the last id
    return model.objectives[name].head(hidden[first:-1])[:, : model.grammar.stop(name) + 1]


@pytest.mark.parametrize("name", PROMPTS)
def test_greedy_continuation_matches_a_packed_forward(name):
    model = make_model()
    continued = generate(model, PROMPTS[name], opened((name,), max_length=6, temperature=0))
    for prompt, segments in zip(PROMPTS[name], continued, strict=True):
        assert [segment.modality for segment in segments] == [name]
        ids = segments[0].tokens
        likeliest = logits_of_new_ids(model, prompt, segments[0]).argmax(-1).tolist()
        assert likeliest[: len(ids)] == ids.tolist()
        assert len(ids) == 6 or likeliest[-1] == model.grammar.stop(name)
    assert any(len(segments[0].tokens) for segments in continued)


def test_guided_greedy_continuation_matches_two_packed_forwards():
    model, scale = make_model(), 2.5
    settings = opened(("text",), max_length=6, temperature=0, guidance={"text": scale})
    for prompt, segments in zip(PROMPTS["text"], generate(model, PROMPTS["text"], settings), strict=True):
        with_prompt, without = (logits_of_new_ids(model, prompt, segments[0], free) for free in (False, True))
        likeliest = (without + scale * (with_prompt - without)).argmax(-1)
        assert likeliest[: len(segments[0].tokens)].tolist() == segments[0].tokens.tolist()


def test_max_length_counts_new_tokens():
    lengths = [len(segments[0].tokens) for segments in generate(make_model(), OPEN * 4, opened(max_length=2))]
    assert max(lengths) == 2


@pytest.mark.parametrize("guidance", [1.0, {"text": 2.0, "speech": 0.5}])
def test_continuation_does_not_depend_on_its_batch(guidance):
    settings = opened(max_length=8, max_segments=3, guidance=guidance, repetition_penalty=1.2)
    model = make_model()
    model.objectives["image"].steps = 2
    assert_a_sample_does_not_depend_on_its_batch(model, OPEN, settings)


def test_continuing_an_empty_segment_equals_starting_it():
    model, empty = make_model(), Segment("text", torch.empty(0, dtype=torch.long))
    continued = generate(model, [[IMAGE, empty]], opened(("text", "speech"), max_length=8))
    assert_same_segments(continued[0], generate(model, [[IMAGE]], plain(("text", "speech"), max_length=8))[0])


def test_segments_after_a_continuation_follow_the_whole_segment():
    model = make_model()
    model.objectives["image"].steps = 2
    settings = {"max_length": 5, "temperature": 0}
    for prompt in PROMPTS["text"]:
        ((text, image),) = generate(model, [prompt], opened(("text", "image"), **settings))
        (after,) = generate(model, [joined(prompt, text)], plain(("image",), **settings))
        assert_same_segments([image], after)


def test_repetition_penalty_counts_the_ids_of_the_prompt():
    model, changed = make_model(), 0
    for id in range(20):
        prompt = [Segment("text", torch.tensor([id, (id + 7) % 20]))]
        settings = {"max_length": 1, "temperature": 0}
        ((penalised,),) = generate(model, [prompt], opened(("text",), repetition_penalty=3.0, **settings))
        ((free,),) = generate(model, [prompt], opened(("text",), **settings))
        logits = logits_of_new_ids(model, prompt, free)[0]
        seen = torch.zeros(len(logits), dtype=torch.bool).scatter(0, prompt[0].tokens, True)
        likeliest = repetition_penalty(logits, seen, 3.0).argmax().item()
        assert penalised.tokens.tolist() == [likeliest] * (likeliest != model.grammar.stop("text"))
        changed += penalised.tokens.tolist() != free.tokens.tolist()
    assert changed


@pytest.mark.parametrize(
    ("prompt", "modalities", "message"),
    [
        ([], (), "prompt 1 is empty, wanted a final segment of speech or text"),
        ([IMAGE], (), "prompt 1 ends with image, wanted a final segment of speech or text"),
        (PROMPTS["text"][0], ("image",), "modalities begins with image, wanted text, which prompt 0 ends with"),
        (PROMPTS["speech"][0], ("text",), "modalities begins with text, wanted speech, which prompt 1 ends with"),
    ],
)
def test_prompt_that_cannot_be_continued_raises_one_line(prompt, modalities, message):
    with pytest.raises(ValueError, match=message) as refusal:
        generate(make_model(), [PROMPTS["text"][0], prompt], opened(modalities))
    assert "\n" not in str(refusal.value)
