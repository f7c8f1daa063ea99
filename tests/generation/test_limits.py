"""Generation is limited to what the model was trained for."""

import pytest
import torch
from conftest import make_model
from properties import plain

from mot_lightning.generation import GenerationLimits
from mot_lightning.sequence import Segment

PROMPTS = [[Segment("speech", torch.tensor(ids))] for ids in ([1, 2, 3], [4], [5, 6])]


@pytest.mark.parametrize(
    ("unconditional", "settings", "message"),
    [
        ((), {"guidance": 2.0}, "guidance of image is 2, wanted 1: nothing was trained unconditionally"),
        (("image",), {"guidance": {"text": 1.5}}, "guidance of text is 1.5, wanted 1: only image was trained"),
    ],
)
def test_guidance_without_unconditional_training_raises_a_one_line_error(unconditional, settings, message):
    grammar = make_model().grammar
    with pytest.raises(ValueError, match=message) as refused:
        GenerationLimits(64, unconditional).check(grammar, PROMPTS, plain(**settings))
    assert "\n" not in str(refused.value)
    GenerationLimits(64, unconditional).check(grammar, PROMPTS, plain(("speech",), **settings))  # not generated


def test_prompt_longer_than_a_training_row_raises():
    grammar = make_model().grammar
    GenerationLimits(6, ()).check(grammar, PROMPTS, plain())
    with pytest.raises(ValueError, match=r"prompt 0 has 6 tokens, wanted at most 5, the data.row_length of the run"):
        GenerationLimits(5, ()).check(grammar, PROMPTS, plain())


def test_union_of_limits_allows_what_either_run_allows():
    one, two = GenerationLimits(64, ("image",)), GenerationLimits(32, ("speech", "image"))
    assert one.union(two) == two.union(one) == GenerationLimits(64, ("image", "speech"))


def test_state_dict_of_limits_holds_plain_values_and_round_trips():
    limits = GenerationLimits(64, ("image", "speech"))
    state = limits.state_dict()
    assert {type(value) for value in state.values()} <= {int, list}
    assert GenerationLimits.from_state_dict(state) == limits
