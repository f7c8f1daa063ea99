"""Counts over training documents."""

from functools import partial

import pytest
import torch
from conftest import TOKENS

from datamodules.documents import Document, packed
from mot_lightning.analysis.inspect import ModalityCounts, inspect
from mot_lightning.errors import ConfigError
from mot_lightning.sequence import Grammar, Piece, Segment, Skipped

GRAMMAR = Grammar(TOKENS, {"text": True, "image": False, "speech": True}, "text", ("image", "speech", "text"))
DOCUMENTS = [
    Document(segments)
    for segments in (
        [
            Segment("text", torch.arange(5)),
            Segment("image", torch.zeros(4, 3), loss=False),
            Segment("text", torch.arange(1)),
        ],
        [Segment("image", torch.zeros(4, 3))],
        [],
    )
]


def inspected(documents, batch_size=2, row_length=64):
    sizes = [len(documents[start : start + batch_size]) for start in range(0, len(documents), batch_size)]
    return inspect(documents, GRAMMAR, sizes, partial(packed, grammar=GRAMMAR, row_length=row_length))


def skipped(message, reason="cut"):
    document = Document()
    document.skipped = Skipped("photographs", "image", reason, message)
    return document


def test_tokens_are_counted_by_modality():
    inspection = inspected(DOCUMENTS)
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
    assert inspected(DOCUMENTS, batch_size).fill == 25 / slots
    assert inspected(DOCUMENTS[:2], 2, 17).fill == 24 / 34  # a row each


def test_documents_of_batches_are_a_fact_where_they_differ():
    collate = partial(packed, grammar=GRAMMAR, row_length=64)
    facts = inspect(DOCUMENTS * 2, GRAMMAR, [1, 3, 2], collate).facts()  # the last is incomplete
    assert ("documents a batch: fewest, mean, most", "1, 2.0, 3") in facts
    assert all("a batch" not in name for name, _ in inspect(DOCUMENTS * 2, GRAMMAR, [2, 2, 2], collate).facts())


def test_table_and_facts_say_the_same():
    inspection = inspected(DOCUMENTS)
    _, image, speech, text, control = inspection.table()
    assert image == ["image", "2", "8", "0.320", "4.0", "0.500"]
    assert speech == ["speech", "0", "0", "0.000", "", ""]
    assert text == ["text", "2", "6", "0.240", "3.0", "0.000"]
    assert control == ["control", "", "11", "0.440", "", ""]
    assert dict(inspection.facts())["tokens a document: shortest, median, longest"] == "1, 7, 17"


def test_skipped_documents_are_said_by_reason_and_counted_nowhere_else():
    seen = inspected([skipped("a.png is cut"), *DOCUMENTS, skipped("b.png is cut"), skipped("c.gif", "many frames")])
    without = inspected(DOCUMENTS)
    assert (seen.lengths, seen.by_modality, seen.control) == (without.lengths, without.by_modality, without.control)
    assert seen.skipped_table()[1:] == [
        ["photographs", "image", "cut", "2", "b.png is cut"],
        ["photographs", "image", "many frames", "1", "c.gif"],
    ]
    assert dict(seen.facts())["documents skipped"] == "3"
    assert "documents skipped" not in dict(without.facts())
    assert inspected([skipped("a.png is cut"), DOCUMENTS[1]]).fill == 7 / 8  # an empty document takes a slot
    with pytest.raises(ConfigError, match=r"all 1 documents are skipped, .* a\.png"):
        inspected([skipped("a.png is cut")])


def test_a_split_document_fills_the_slots_of_its_pieces():
    document = Document([Segment("text", torch.arange(6))])  # 9 tokens
    document.pieces = [Piece([Segment("text", torch.arange(3))])] * 2  # 6 tokens each
    seen = inspected([document], row_length=8)
    assert (seen.lengths, seen.split, seen.fill) == ([9], 1, 1.0)
    assert dict(seen.facts())["documents split in pieces"] == "1"
