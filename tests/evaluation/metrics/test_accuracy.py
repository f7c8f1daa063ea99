"""The fraction of media that a judge takes for what they should be."""

import pytest

from mot_lightning.evaluation.metrics import JudgedAccuracy


def test_it_counts_what_the_judge_takes_for_its_label_over_all_parts():
    metric = JudgedAccuracy(lambda media: [len(text) for text in media])
    metric.update(["a", "bb", "c"], [1, 2, 3])
    assert metric.compute() == pytest.approx(2 / 3)
    metric.update(["dddd"], [4])
    assert metric.compute() == pytest.approx(3 / 4)
    metric.reset()
    metric.update(["a"], [2])
    assert metric.compute() == 0


def test_every_medium_has_its_label():
    with pytest.raises(ValueError, match="zip"):
        JudgedAccuracy(lambda media: [0] * len(media)).update(["a", "b"], [0])


def test_the_error_of_a_fraction_shrinks_with_the_samples():
    assert JudgedAccuracy.standard_error(0.5, 100) == pytest.approx(0.05)
    assert JudgedAccuracy.standard_error(0.5, 400) == pytest.approx(0.025)
    assert JudgedAccuracy.standard_error(1.0, 10) == 0
