"""BLEU against its definition."""

import pytest

from mot_lightning.evaluation.metrics import BLEU


def test_geometric_mean_of_the_precisions():
    metric = BLEU()
    metric.update(["the cat sat on the mat"], ["the cat sat on a mat"])
    assert float(metric.compute()) == pytest.approx((5 / 6 * 3 / 5 * 2 / 4 * 1 / 3) ** 0.25)


def test_counts_are_of_the_corpus_and_of_all_references():
    metric = BLEU()
    metric.update(["the cat sat on the mat"], [["a dog", "the cat sat on the mat"]])
    metric.update(["no word of it"], ["something else entirely here"])
    assert 0 < float(metric.compute()) < 1
