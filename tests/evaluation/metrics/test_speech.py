"""Error rates of speech by a small random recogniser."""

import pytest
import torch
from tiny_networks import save_ctc

from mot_lightning.evaluation.measure import measure
from mot_lightning.evaluation.metrics import UnitErrorRate, WordErrorRate
from mot_lightning.evaluation.metrics.recogniser import Recogniser

NAME = ("text -> speech", "errors", "")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_ctc(tmp_path_factory.mktemp("ctc"))


def test_errors_are_those_between_what_is_heard_and_the_text(folder):
    sounds = list(torch.randn(5, 6_000, generator=torch.Generator().manual_seed(0)))
    heard = Recogniser(folder)(sounds, 8_000)
    words = [len(text.split()) for text in heard]
    metric = WordErrorRate(folder, 8_000)
    assert metric.compares_with == "texts"
    assert measure(metric, sounds, [f"{text.upper()}!" for text in heard], NAME, 0).value == 0
    longer = [f"{text} seven" for text in heard]  # one word a text is not heard
    assert measure(metric, sounds, longer, NAME, 0).value == pytest.approx(5 / (sum(words) + 5))
    letters = sum(len(text) for text in longer)
    assert measure(UnitErrorRate(folder, 8_000), sounds, longer, NAME, 0).value == pytest.approx(5 * 6 / letters)


def test_there_may_be_more_errors_than_words(folder):
    sounds = list(torch.randn(4, 30_000, generator=torch.Generator().manual_seed(0)))
    row = measure(UnitErrorRate(folder, 8_000), sounds, ["a"] * 4, NAME, 0)
    assert 1 < row.value < row.high
