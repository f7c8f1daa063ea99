"""Validation of generation settings, independent of the model."""

import pytest

from mot_lightning.generation import GenerationSettings
from mot_lightning.generation.settings import DEFAULT_GUIDANCE
from mot_lightning.sequence import Grammar, Tokens


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"max_segments": 0}, "max_segments is 0, wanted at least 1"),
        ({"max_length": 0}, "max_length is 0, wanted at least 1"),
        ({"temperature": -1.0}, "temperature is -1.0, wanted 0 or more"),
        ({"top_p": 0.0}, "top_p is 0.0, wanted above 0, up to 1"),
        ({"top_p": 1.5}, "top_p is 1.5, wanted above 0, up to 1"),
        ({"guidance": -2.0}, "guidance is -2.0, wanted a number of 0 or more"),
        ({"guidance": {"image": -2.0}}, "guidance of image is -2.0, wanted a number of 0 or more"),
        ({"seed": -3}, "seed is -3, wanted 0 or more"),
        ({"top_k": -1}, "top_k is -1, wanted 0 \\(all\\) or more"),
        ({"min_p": 1.5}, "min_p is 1.5, wanted from 0 to 1"),
        ({"repetition_penalty": 0.0}, "repetition_penalty is 0.0, wanted above 0"),
    ],
)
def test_invalid_settings_raise_a_one_line_error(wrong, message):
    with pytest.raises(ValueError, match=message) as refused:
        GenerationSettings(**wrong)
    assert "\n" not in str(refused.value)


def test_scalar_guidance_without_a_bidirectional_modality_raises():
    grammar = Grammar({"text": Tokens(vocab_size=4)}, {"text": True}, "text", ["text"])
    for guidance in (None, 1.0, {"text": 2.0}):
        GenerationSettings(guidance=guidance).check(grammar)
    with pytest.raises(ValueError, match=r"^guidance is 2\.0, wanted guidance of text: no modality is bidirectional$"):
        GenerationSettings(guidance=2.0).check(grammar)


def test_modalities_as_a_string_raises():
    with pytest.raises(TypeError, match=r"^modalities is 'text', wanted a list$"):
        GenerationSettings("text")  # type: ignore[arg-type]


def test_defaults_are_those_of_the_readme():
    settings = GenerationSettings()
    assert (settings.temperature, settings.top_p, settings.top_k, settings.min_p) == (0.5, 0.95, 0, 0)
    assert (settings.max_segments, settings.max_length, DEFAULT_GUIDANCE) == (4, 256, 2)
    assert settings.guidance is None
    assert settings.repetition_penalty == 1
