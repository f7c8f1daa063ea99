"""Losses by document: each document's are those that it has alone."""

import numpy as np
import pytest
import torch
from conftest import make_document, make_model

from mot_lightning.evaluation.document_losses import document_sums
from mot_lightning.sequence import pack
from mot_lightning.training.losses import LossWeights


def documents():
    rng = np.random.default_rng(0)
    kinds = [["text", "image"], ["speech"], ["image", "text", "image"], ["text"]]
    return [
        [segment._replace(seed=100 * i + k) for k, segment in enumerate(make_document(rng, kind))]
        for i, kind in enumerate(kinds)
    ]


def sums(model, *batches):
    with torch.no_grad():
        return document_sums(model, [pack(batch, model.grammar, 40) for batch in batches], 0, lambda batch: {})


def test_sums_of_documents_are_those_of_the_documents_alone():
    model, (a, b, c, d) = make_model(), documents()
    packed, alone = sums(model, [a, b, c, d]), sums(model, [a], [b], [c], [d])
    for name in ("text", "image", "speech"):
        np.testing.assert_allclose(packed[name], alone[name], rtol=1e-4)
    assert packed["image"][:, 1].tolist() == [4, 0, 8, 0]  # four latents an image


def test_bytes_are_those_of_targets_without_control_tokens():
    model = make_model()
    batch = pack(documents(), model.grammar, 40)
    sizes = torch.arange(len(batch.by_modality["text"].target)) + 1.0
    with torch.no_grad():
        columns = document_sums(model, [batch], 0, lambda batch: {"text": sizes})["text"]
        _, weight, content = model(batch, 0)["text"]
    assert columns[:, 4].sum() == pytest.approx(float((sizes * weight * content).sum()))
    assert columns[:, 4].sum() < float((sizes * weight).sum())


def test_documents_without_seeds_have_other_noise_in_each_batch():
    model = make_model()
    seeded = documents()[:1]
    plain = [[segment._replace(seed=None) for segment in document] for document in seeded]
    (a, b), (c, d) = (sums(model, some, some)["image"][:, 0] for some in (plain, seeded))
    assert a != b
    assert c == d


def test_they_add_up_to_the_sums_of_training():
    model = make_model()
    batch = pack(documents(), model.grammar, 40)
    with torch.no_grad():
        expected = LossWeights(dict.fromkeys(("text", "image"), 1.0)).sums(model(batch, 0), batch)
    by_document = sums(model, documents())
    for k, name in enumerate(("text", "image")):
        assert by_document[name].sum(0)[0] == pytest.approx(float(expected.loss[k]), rel=1e-5)
        assert by_document[name].sum(0)[3] == float(expected.content_targets[k])
