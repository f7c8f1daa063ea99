"""Counts over training documents."""

import pytest
import torch
from conftest import TOKENS

from mot_lightning.analysis.inspect import ModalityCounts, inspect
from mot_lightning.sequence import Grammar, Segment

GRAMMAR = Grammar(TOKENS, {"text": True, "image": False, "speech": True}, "text", ("image", "speech", "text"))
DOCUMENTS = [
    [
        Segment("text", torch.arange(5)),
        Segment("image", torch.zeros(4, 3), loss=False),
        Segment("text", torch.arange(1)),
    ],
    [Segment("image", torch.zeros(4, 3))],
    [],
]


def test_tokens_are_counted_by_modality():
    inspection = inspect(DOCUMENTS, GRAMMAR, batch_size=2, row_length=64)
    assert inspection.by_modality == {
        "image": ModalityCounts(2, 8, 4),
        "speech": ModalityCounts(0, 0, 0),
        "text": ModalityCounts(2, 6, 0),
    }
    # two control tokens a segment, and one a document
    assert inspection.lengths == [5 + 4 + 1 + 7, 4 + 3, 1]
    assert inspection.control == 11
    assert sum(counts.tokens for counts in inspection.by_modality.values()) + inspection.control == sum(
        inspection.lengths
    )


@pytest.mark.parametrize(("batch_size", "slots"), [(1, 17 + 7 + 1), (2, 24 + 1), (3, 25)])
def test_fill_is_of_the_rows_that_training_packs(batch_size, slots):
    assert inspect(DOCUMENTS, GRAMMAR, batch_size, row_length=64).fill == 25 / slots
    assert inspect(DOCUMENTS[:2], GRAMMAR, 2, row_length=17).fill == 24 / 34  # a row each


def test_table_and_facts_say_the_same():
    inspection = inspect(DOCUMENTS, GRAMMAR, 2, 64)
    _, image, speech, text, control = inspection.table()
    assert image == ["image", "2", "8", "0.320", "4.0", "0.500"]
    assert speech == ["speech", "0", "0", "0.000", "", ""]
    assert text == ["text", "2", "6", "0.240", "3.0", "0.000"]
    assert control == ["control", "", "11", "0.440", "", ""]
    assert dict(inspection.facts())["tokens a document: shortest, median, longest"] == "1, 7, 17"
