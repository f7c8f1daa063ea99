"""CIDEr-D against the values of pycocoevalcap 1.2 (`Cider`, on the same words)."""

import pytest

from mot_lightning.evaluation.metrics import CIDErD

REFERENCES = [
    ["a man rides a brown horse on the beach", "a man is riding a horse by the sea"],
    ["two dogs play with a red ball", "dogs play in the grass with a ball"],
    "a red bus stops at the corner",
]
TEXTS = [
    "a man is riding a brown horse on a beach",
    "two dogs play with a ball a ball a ball",
    "a bus stops at the red light",
]


def test_value_of_three_captions():
    metric = CIDErD()
    for text, references in zip(TEXTS, REFERENCES, strict=True):
        metric.update([text], [references])
    assert float(metric.compute()) == pytest.approx(4.027465295865595, rel=1e-9)


def test_a_reference_itself_has_10_and_other_words_0():
    metric = CIDErD()
    metric.update(["two dogs play with a ball", "no such thing"], ["two dogs play with a ball", "A red bus stops."])
    assert float(metric.compute()) == pytest.approx(5)
