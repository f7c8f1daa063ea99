"""Ids of control tokens, and the begin tokens of segments."""

import pytest
from conftest import TOKENS

from mot_lightning.sequence import Grammar, Tokens

CAUSAL = {"text": True, "image": False, "speech": True}
GROUPS = ("image", "speech", "text")
STOP_TEXT = 20  # the first id above the vocabulary
BEGIN = {"image": 22, "speech": 24, "text": 26}


def grammar(tokens=TOKENS, causal=CAUSAL, control="text"):
    return Grammar(tokens, causal, control, GROUPS)


@pytest.mark.parametrize(
    ("tokens", "causal", "control", "message"),
    [
        (TOKENS, CAUSAL, "video", "control is 'video', wanted one of the modalities: image, speech, text"),
        (TOKENS, {**CAUSAL, "image": True}, "image", "control is 'image', wanted a modality of ids"),
        (TOKENS, {**CAUSAL, "text": False}, "text", "control is 'text', wanted a modality of ids .* causally"),
    ],
)
def test_control_modality_must_be_causal_and_discrete(tokens, causal, control, message):
    with pytest.raises(ValueError, match=message) as refused:
        grammar(tokens, causal, control)
    assert "\n" not in str(refused.value)


def test_control_ids_follow_the_vocabulary_in_any_declaration_order():
    rules = grammar()
    ids = [rules.end_of_document, *rules.begin.values(), *rules.end.values()]
    assert sorted(ids) == list(range(STOP_TEXT + 1, rules.ids("text")))
    assert rules.ids("speech") == TOKENS["speech"].vocab_size + 1  # and the stop id
    other = grammar(tokens=dict(reversed(TOKENS.items())))
    assert (other.begin, other.end, other.end_of_document) == (rules.begin, rules.end, rules.end_of_document)


def test_a_segment_may_end_by_an_id_of_its_codec():
    rules = grammar({**TOKENS, "text": Tokens(vocab_size=20, stop=7)})
    assert (rules.stop("text"), rules.end_of_document) == (7, 20)
    assert rules.ids("text") == grammar().ids("text") - 1


def test_the_control_modality_alone_has_few_control_ids():
    rules = grammar()
    kind = rules.complete("text")
    assert kind.control_ids == range(STOP_TEXT + 1, rules.ids("text"))
    assert set(kind.control_ids_alone) == {rules.end_of_document, rules.begin["text"], rules.end["text"]}
    assert not rules.complete("speech").control_ids


SIZED = {**TOKENS, "image": Tokens(latent_dim=3, max_length=3)}


def test_length_ids_follow_all_other_ids():
    rules, plain = grammar(SIZED), grammar()
    assert (rules.begin, rules.end, rules.end_of_document) == (plain.begin, plain.end, plain.end_of_document)
    assert rules.begins["image"] == [BEGIN["image"], plain.ids("text"), plain.ids("text") + 1]
    assert rules.ids("text") == plain.ids("text") + 2


@pytest.mark.parametrize(
    ("kind", "causal"),
    [
        (Tokens(latent_dim=3, length=4, max_length=9), False),  # of fixed length
        (Tokens(vocab_size=5, max_length=9), True),  # ended by a stop id
        (Tokens(latent_dim=3), False),  # without a maximum length
    ],
)
def test_segments_without_a_predicted_length_have_one_begin_token(kind, causal):
    rules = grammar({**TOKENS, "image": kind}, {**CAUSAL, "image": causal})
    assert rules.begins["image"] == [BEGIN["image"]]


@pytest.mark.parametrize("kind", [Tokens(vocab_size=5, max_length=3), Tokens(latent_dim=3, max_length=3)])
@pytest.mark.parametrize("causal", [False, True])
def test_bidirectional_ids_and_latents_have_a_begin_token_per_length(kind, causal):
    rules = grammar({**TOKENS, "image": kind}, {**CAUSAL, "image": causal})
    assert len(rules.begins["image"]) == (1 if kind.discrete and causal else 3)


def test_latents_are_not_discrete():
    assert Tokens(vocab_size=4).discrete
    assert not Tokens(latent_dim=4).discrete
