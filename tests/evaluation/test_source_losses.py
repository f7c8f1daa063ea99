"""Losses by source: those of the documents of each source."""

import numpy as np
import pytest
import torch
from conftest import make_document, make_model

from mot_lightning.evaluation.document_losses import document_sums
from mot_lightning.evaluation.source_losses import DocumentSources, source_rows
from mot_lightning.sequence import Sources, pack

NAMES = ("books", "web")


def batch(model, kinds, sources, pieces=None):
    rng = np.random.default_rng(0)
    documents = [
        [segment._replace(seed=100 * i + k) for k, segment in enumerate(make_document(rng, kind))]
        for i, kind in enumerate(kinds)
    ]
    packed = pack(documents, model.grammar, 40)
    return packed._replace(
        sources=Sources(NAMES, torch.tensor(sources)), pieces=None if pieces is None else np.array(pieces)
    )


def rows_of(model, *batches):
    sources = DocumentSources()
    with torch.no_grad():
        sums = document_sums(model, sources.noted(batches), 0, lambda batch: {})
    return {row.of: row for row in source_rows(model, sums, sources, 0)}, sums


def test_each_source_has_the_loss_of_its_documents():
    model = make_model()
    rows, sums = rows_of(
        model, batch(model, [["text", "image"], ["text"]], [0, 1]), batch(model, [["text"], ["text"]], [1, 0])
    )
    assert rows.keys() == {"text (books)", "text (web)", "image (books)"}
    for name, documents in (("text (books)", [0, 3]), ("text (web)", [1, 2])):
        loss, targets = sums["text"][documents][:, :2].sum(0)
        assert rows[name].value == pytest.approx(loss / targets)
        assert rows[name].samples == 2
        assert rows[name].low <= rows[name].value <= rows[name].high
    assert (rows["text (web)"].quantity, rows["image (books)"].quantity) == ("nats/token", "loss")


def test_a_document_in_pieces_is_one_of_its_source():
    model = make_model()
    rows, sums = rows_of(model, batch(model, [["text"], ["text"], ["text"]], [1, 1, 0], pieces=[0, 0, 1]))
    assert len(sums["text"]) == 2
    assert {name: row.samples for name, row in rows.items()} == {"text (web)": 1, "text (books)": 1}


@pytest.mark.parametrize("kinds", [[["text"], [], ["text"]], [["text"], ["text"], []]], ids=["between", "last"])
def test_a_document_without_segments_takes_the_source_of_no_other(kinds):
    model = make_model()
    rows, _ = rows_of(model, batch(model, kinds, [0, 1, 1] if not kinds[1] else [0, 1, 0]))
    assert {name: row.samples for name, row in rows.items()} == {"text (books)": 1, "text (web)": 1}


def test_one_source_has_no_rows():
    model = make_model()
    assert rows_of(model, batch(model, [["text"]], [0])._replace(sources=None))[0] == {}
