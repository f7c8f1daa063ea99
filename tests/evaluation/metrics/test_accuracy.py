"""Accuracy of media as judged by a classifier."""

import pytest

from mot_lightning.evaluation.metrics import JudgedAccuracy


def test_accuracy_accumulates_over_updates_until_reset():
    metric = JudgedAccuracy(lambda media: [len(text) for text in media])
    metric.update(["a", "bb", "c"], [1, 2, 3])
    assert metric.compute() == pytest.approx(2 / 3)
    metric.update(["dddd"], [4])
    assert metric.compute() == pytest.approx(3 / 4)
    metric.reset()
    metric.update(["a"], [2])
    assert metric.compute() == 0


def test_update_with_fewer_labels_than_media_raises():
    with pytest.raises(ValueError, match="zip"):
        JudgedAccuracy(lambda media: [0] * len(media)).update(["a", "b"], [0])


def test_standard_error_shrinks_with_the_number_of_samples():
    assert JudgedAccuracy.standard_error(0.5, 100) == pytest.approx(0.05)
    assert JudgedAccuracy.standard_error(0.5, 400) == pytest.approx(0.025)
    assert JudgedAccuracy.standard_error(1.0, 10) == 0
