"""ROUGE-L by hand."""

import pytest

from mot_lightning.evaluation.metrics import RougeL


def score(text, target):
    metric = RougeL()
    metric.update([text], [target])
    return float(metric.compute())


def test_f_score_of_the_longest_common_subsequence():
    # five words in common, of seven and of six
    assert score("the cat was found under the bed", "The cat, was under that bed.") == pytest.approx(2 * 5 / (7 + 6))
    assert score("police killed the gunman", "police kill the gunman") == pytest.approx(3 / 4)  # Lin, section 3.1
    assert score("the gunman kill police", "police kill the gunman") == pytest.approx(2 / 4)


def test_the_closest_reference_counts_and_texts_are_averaged():
    metric = RougeL()
    metric.update(["a b", "c", ""], [["x", "a b"], "d", "e"])
    assert float(metric.compute()) == pytest.approx(1 / 3)
