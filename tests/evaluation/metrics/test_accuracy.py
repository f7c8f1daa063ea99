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
    assert JudgedAccuracy.standard_error(0.5, 100) == pytest.approx(0.05, abs=0.001)
    assert JudgedAccuracy.standard_error(0.5, 400) == pytest.approx(0.025, abs=0.001)


@pytest.mark.parametrize("samples", [10, 40])
def test_standard_error_of_a_perfect_accuracy_is_not_zero(samples):
    error = JudgedAccuracy.standard_error(1.0, samples)
    assert error == pytest.approx(JudgedAccuracy.standard_error(0.0, samples))
    # about the 95 % interval of the rule of three, which ends 3 / n below 1
    assert 1.96 * error == pytest.approx(3 / samples, rel=0.4)
