"""Segments of variable length: the begin token predicts the length, or it is given."""

import pytest
import torch
from conftest import TOKENS, make_model
from properties import assert_a_sample_does_not_depend_on_its_batch, hidden_states, plain

from mot_lightning.generation import generate
from mot_lightning.sequence import Segment, Tokens

SIZED = {**TOKENS, "image": Tokens(latent_dim=3, max_length=3)}


@pytest.fixture
def model():
    model = make_model(tokens=SIZED)
    model.objectives["image"].steps = 2
    return model


def test_model_chooses_lengths_within_its_range(model):
    generated = generate(model, [[]] * 40, plain(("image", "image")))
    lengths = {len(segment.tokens) for document in generated for segment in document}
    assert lengths == {1, 2, 3}
    free = generate(model, [[]] * 40, plain(max_segments=3, max_length=3))
    images = [s for document in free for s in document if s.modality == "image"]
    assert {len(segment.tokens) for segment in images} <= {1, 2, 3}
    assert images


def test_greedy_length_is_the_argmax_of_a_packed_forward(model):
    ids = model.grammar.begins["image"]
    for n in range(4):
        prompt = [Segment("text", torch.arange(n))]
        (generated,) = generate(model, [prompt], plain(("image",), temperature=0))
        (hidden,) = hidden_states(model, [prompt])
        best = model.control.head(hidden[-1])[torch.tensor(ids)].argmax()
        assert len(generated[0].tokens) == model.grammar.sizes["image"][best]


def test_given_length_is_used(model):
    for modalities in (("image", "text"), ()):
        settings = plain(modalities, max_segments=3, max_length=3, lengths={"image": 2})
        for document in generate(model, [[]] * 20, settings):
            assert all(len(s.tokens) == 2 for s in document if s.modality == "image")


@pytest.mark.parametrize("modalities", [("image", "text"), ()])
@pytest.mark.parametrize("guidance", [1.0, {"image": 2.0, "text": 1.5}])
def test_sample_does_not_depend_on_its_batch_at_any_length(model, modalities, guidance):
    settings = plain(modalities, max_segments=3, max_length=6, guidance=guidance)
    prompts = [[Segment("text", torch.arange(n))] for n in range(5)]
    assert_a_sample_does_not_depend_on_its_batch(model, prompts, settings)


def test_length_is_required_without_a_maximum():
    model = make_model(tokens={**TOKENS, "image": Tokens(latent_dim=3)})
    model.objectives["image"].steps = 2
    with pytest.raises(ValueError, match="lengths has no image"):
        generate(model, [[]], plain(("image",)))
    (generated,) = generate(model, [[]], plain(("image",), lengths={"image": 5}))
    assert generated[0].tokens.shape == (5, 3)


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ({"image": 5}, "image: a segment has 5 tokens, wanted 1 to 3"),
        ({"image": 0}, "lengths has image: 0, wanted at least 1"),
        ({"text": 5}, "lengths has text: 5, wanted none, as a stop id ends it"),
        ({"video": 5}, "lengths names 'video'"),
    ],
)
def test_invalid_lengths_raise_a_one_line_error(model, lengths, message):
    with pytest.raises(ValueError, match=message) as refused:
        generate(model, [[]], plain(("image",), lengths=lengths))
    assert "\n" not in str(refused.value)
