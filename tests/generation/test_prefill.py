"""Prefilling of prompts, and errors for unknown modalities."""

import pytest
import torch
from conftest import TOKENS, make_model
from properties import assert_a_sample_does_not_depend_on_its_batch, assert_cached_equals_packed, plain

from mot_lightning.generation import generate
from mot_lightning.sequence import Segment, Tokens


@pytest.mark.parametrize("image", ["adaln", "additive"])
def test_bidirectional_prompts_do_not_attend_to_padding(image):
    model = make_model(image, tokens={**TOKENS, "image": Tokens(latent_dim=3)})
    assert_cached_equals_packed(model, [[Segment("image", torch.randn(n, 3))] for n in (2, 5)], False)


def test_empty_prompt_segments_are_supported():
    empty = [Segment("text", torch.empty(0, dtype=torch.long))]
    full = [Segment("text", torch.tensor([1, 2, 3]))]
    model = make_model()
    model.objectives["image"].steps = 3
    settings = plain(("image",))
    assert_a_sample_does_not_depend_on_its_batch(model, [empty, full], settings)


@pytest.mark.parametrize(
    ("prompt", "modalities"),
    [
        ([Segment("video", torch.tensor([1]))], ("text",)),
        ([Segment("image", torch.zeros(3, 3))], ("text",)),
        ([], ("video",)),
    ],
)
def test_unknown_modality_or_wrong_segment_length_raises(prompt, modalities):
    with pytest.raises(ValueError, match=r"video|wanted 4"):
        generate(make_model(), [prompt], plain(modalities, max_length=2))


def test_no_prompts_give_no_samples():
    assert generate(make_model(), [], plain(("text",), max_length=2)) == []
