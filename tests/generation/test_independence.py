"""A sample is its seed's alone, in whatever batch and order of modalities it is made; bad requests are refused."""

import pytest
import torch
from conftest import TOKENS, make_model
from properties import assert_a_sample_does_not_depend_on_its_batch, assert_cached_equals_packed

from mot_lightning.generation import GenerationSettings, generate
from mot_lightning.sequence import Segment, Tokens


@pytest.mark.parametrize("modalities", [("text", "image"), ("speech", "text", "image"), ("text", "speech"), ()])
def test_a_sample_does_not_depend_on_how_long_the_others_are(modalities):
    model = make_model("token")
    model.objectives["image"].steps = 3
    settings = GenerationSettings(modalities, max_length=12, max_segments=4)
    assert_a_sample_does_not_depend_on_its_batch(model, [[] for _ in range(5)], settings)


@pytest.mark.parametrize("image", ["norm", "token"])
def test_bidirectional_prompts_of_different_lengths_do_not_see_their_padding(image):
    model = make_model(image, tokens={**TOKENS, "image": Tokens(latent_dim=3)})
    assert_cached_equals_packed(model, [[Segment("image", torch.randn(n, 3))] for n in (2, 5)], False)


@pytest.mark.parametrize(
    ("prompt", "modalities"),
    [
        ([Segment("video", torch.tensor([1]))], ("text",)),
        ([Segment("image", torch.zeros(3, 3))], ("text",)),
        ([], ("video",)),
    ],
)
def test_unknown_modalities_and_segments_of_wrong_length_are_refused(prompt, modalities):
    with pytest.raises(ValueError, match=r"video|wanted 4"):
        generate(make_model(), [prompt], GenerationSettings(modalities, max_length=2))


def test_no_prompts_make_no_samples():
    assert generate(make_model(), [], GenerationSettings(("text",), max_length=2)) == []
