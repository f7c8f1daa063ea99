"""Losses after another modality and alone."""

import numpy as np
import pytest
import torch
from conftest import make_document, make_model

from mot_lightning.evaluation.conditional import ALONE, GIVEN, TARGETS, pair_rows, pair_sums, pairs_of
from mot_lightning.evaluation.document_losses import CONTENT_LOSS, CONTENT_TARGETS, document_sums, noise_seeds
from mot_lightning.sequence import pack


def document(*kinds, number=0):
    segments = make_document(np.random.default_rng(number), kinds)
    return [segment._replace(seed=10 * number + k, loss=False) for k, segment in enumerate(segments)]


def test_pairs_are_the_orders_that_documents_have():
    a, b = document("text", "image", "text"), document("image", "text", number=1)
    pairs = pairs_of([a, b, document("speech", number=2)])
    assert {pair: len(documents) for pair, documents in pairs.items()} == {("image", "text"): 2, ("text", "image"): 1}
    (given, target), _ = pairs["image", "text"]
    assert given.tokens is a[1].tokens
    assert target.tokens is a[2].tokens
    assert target.loss
    assert not given.loss


def test_a_target_is_the_first_of_its_modality_and_counts_in_full():
    segments = [s._replace(noise_cap=0.2, weight=0.5) for s in document("image", "text", "text")]
    ((_, target),) = pairs_of([segments])["image", "text"]
    assert target.tokens is segments[1].tokens
    assert (target.noise_cap, target.weight) == (1, 1)


@pytest.mark.parametrize("pair", [("text", "image"), ("image", "text")])
def test_sums_are_the_losses_of_the_second_segment_after_the_first_and_alone(pair):
    model, seeds = make_model(), noise_seeds(0, 3)
    documents = pairs_of([document(*pair, number=k) for k in range(5)])[pair]
    with torch.no_grad():
        sums = pair_sums(model, documents, seeds, 2, "cpu")
        for column, shown in ((GIVEN, documents), (ALONE, [d[1:] for d in documents])):
            passes = seeds if pair[1] == "image" else seeds[:1]
            batch = [pack(shown, model.grammar, 100)]
            expected = sum(document_sums(model, batch, seed, lambda batch: {})[pair[1]] for seed in passes)
            np.testing.assert_allclose(sums[:, column], expected[:, CONTENT_LOSS], rtol=1e-4)
            np.testing.assert_allclose(sums[:, TARGETS], expected[:, CONTENT_TARGETS])
    assert not np.allclose(sums[:, GIVEN], sums[:, ALONE])


def test_gain_is_positive_where_the_first_segment_helps():
    sums = np.array([[2.0, 6.0, 4], [1.0, 3.0, 2]])
    given, alone, gain = pair_rows(("image", "text"), sums, discrete=True, seed=0)
    assert (given.value, alone.value, gain.value) == (0.5, 1.5, 1.0)
    assert (gain.of, gain.quantity, gain.low, gain.high) == ("text | image", "alone - given", 1.0, 1.0)
