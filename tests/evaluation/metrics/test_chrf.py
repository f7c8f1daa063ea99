"""chrF by hand."""

import pytest

from mot_lightning.evaluation.metrics import ChrF


def test_f2_of_character_n_grams():
    metric = ChrF(n_char_order=2)
    metric.update(["abcd"], ["abc"])
    # of one character: precision 3/4, recall 1; of two: 2/3 and 1
    expected = sum(5 * p / (4 * p + 1) for p in (3 / 4, 2 / 3)) / 2
    assert float(metric.compute()) == pytest.approx(expected, abs=1e-4)


def test_the_same_text_has_1_and_another_alphabet_0():
    metric = ChrF()
    metric.update(["a handwritten seven"], ["a handwritten seven"])
    assert float(metric.compute()) == pytest.approx(1)
    metric.reset()
    metric.update(["abcdef"], ["uvwxyz"])
    assert float(metric.compute()) == pytest.approx(0, abs=1e-6)
