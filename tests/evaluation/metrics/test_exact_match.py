"""Exact match."""

from mot_lightning.evaluation.metrics import ExactMatch


def test_fraction_of_texts_that_are_a_reference():
    metric = ExactMatch()
    metric.update(["a seven ", "Seven", "b", "c"], ["a seven", "seven", ["a", "b"], "d"])
    assert float(metric.compute()) == 0.5
