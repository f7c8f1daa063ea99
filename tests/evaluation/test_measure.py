"""Metrics as rows: intervals against known standard errors, and reasons where there is no value."""

import math

import pytest
import torch
from torchmetrics import Metric

from mot_lightning.errors import ConfigError
from mot_lightning.evaluation.measure import measure, restricted, task_rows, with_defaults
from mot_lightning.evaluation.metrics import BLEU, FrechetDistance, JudgedAccuracy
from mot_lightning.evaluation.tasks import Task


class Mean(Metric):
    """The mean of numbers, from sums or from a list."""

    def __init__(self, lists):
        super().__init__()
        self.lists = lists
        self.add_state("values", [] if lists else torch.zeros(2), dist_reduce_fx="cat" if lists else "sum")

    def update(self, media, targets):
        values = torch.tensor(media)
        if self.lists:
            self.values.append(values)
        else:
            self.values += torch.stack([values.sum(), torch.tensor(float(len(values)))])

    def compute(self):
        return torch.cat(self.values).mean() if self.lists else self.values[0] / self.values[1]


class Broken(Mean):
    def compute(self):
        raise ValueError("no\nvalue")


NAME = ("words", "mean", "")


@pytest.mark.parametrize("lists", [False, True])
def test_interval_of_any_metric_of_sums_or_lists(lists):
    numbers = torch.randn(300, generator=torch.Generator().manual_seed(0)).tolist()
    row = measure(Mean(lists), numbers, numbers, NAME, seed=0)
    assert row.value == pytest.approx(torch.tensor(numbers).mean().item(), abs=1e-6)
    assert row.high - row.low == pytest.approx(2 * 1.96 / math.sqrt(300), rel=0.25)
    assert (row.low + row.high) / 2 == pytest.approx(row.value)


def test_accuracy_of_1_has_an_interval_below_it():
    row = measure(JudgedAccuracy(lambda media: media), [1] * 20, [1] * 20, NAME, seed=0)
    assert row.value == row.high == 1
    assert 0.7 < row.low < 0.95


def test_distance_has_an_interval_and_says_that_it_is_of_few_samples():
    generator = torch.Generator().manual_seed(0)
    images = list(torch.rand(40, 1, 4, 4, generator=generator))
    metric = FrechetDistance(_Means(), list(torch.rand(40, 1, 4, 4, generator=generator)))
    row = measure(metric, images, [0] * 40, NAME, seed=0)
    assert row.low < row.value < row.high
    assert "fewer than 10,000" in row.note
    assert measure(metric, images, [0] * 40, NAME, seed=0) == row


class _Means(torch.nn.Module):
    num_features = 4

    def forward(self, images):
        return torch.nn.functional.adaptive_avg_pool2d(images.float().mean(1, keepdim=True), 2).flatten(1) / 255


def test_what_cannot_be_measured_says_why():
    failed = measure(Broken(False), [1.0], [0], NAME, seed=0)
    assert math.isnan(failed.value)
    assert failed.note == "unavailable: no value"
    few = Mean(False)
    few.min_samples = 3
    assert measure(few, [1.0], [0], NAME, seed=0).note == "unavailable: 1 samples, wanted at least 3"


def test_real_media_have_rows_without_guidance_only():
    metrics = {"right": JudgedAccuracy(lambda media: media)}
    task = Task("a -> b", [[("a", 1)]] * 2, "b", [1, 2], metrics, real=([1, 1, 1], [1, 1, 2]))
    assert [(row.quantity, round(row.value, 2)) for row in task_rows(task, [1, 1], 1.0, 0)] == [
        ("right", 0.5),
        ("right, real", 0.67),
    ]
    assert [row.quantity for row in task_rows(task, [1, 1], 2.0, 0)] == ["right, guided"]


def test_texts_are_compared_with_the_real_ones_by_default():
    prompts, references = [[("image", 1)]] * 3, ["a seven", "a nine", "a five"]
    task = Task("image -> text", prompts, "text", [7, 9, 5], {}, references=references)
    rows = {row.quantity: row for row in task_rows(with_defaults(task), ["a seven", "a two", "a five"], 1.0, 0)}
    assert rows["exact match"].value == pytest.approx(2 / 3)
    assert rows["ROUGE-L"].value == pytest.approx(2.5 / 3)
    assert rows.keys() == {"BLEU", "chrF", "ROUGE-L", "CIDEr-D", "exact match"}
    assert all(row.low <= row.value <= row.high for row in rows.values())


def test_images_with_a_frechet_distance_have_more_metrics_of_its_extractor():
    generator = torch.Generator().manual_seed(0)
    images = [list(torch.rand(20, 1, 4, 4, generator=generator)) for _ in range(2)]
    metrics = {"fid[means]": FrechetDistance(_Means(), images[0])}
    task = Task("text -> image", [[("text", "a")]] * 20, "image", [0] * 20, metrics, real=(images[0], [0] * 20))
    rows = {row.quantity: row for row in task_rows(with_defaults(task), images[1], 1.0, 0)}
    assert rows.keys() == {"fid[means]", "kid[means]", "precision[means]", "recall[means]"}
    assert rows["kid[means]"].low < rows["kid[means]"].value < rows["kid[means]"].high
    assert 0 < rows["precision[means]"].low < rows["precision[means]"].value
    assert math.isnan(rows["recall[means]"].low)
    assert rows["recall[means]"].value > 0.5


def test_a_task_without_references_says_that_a_metric_needs_some():
    task = Task("image -> text", [[("image", 1)]], "text", [7], {"BLEU": BLEU()})
    (row,) = task_rows(task, ["a seven"], 1.0, 0)
    assert row.note == "unavailable: task 'image -> text' has no references, wanted some for BLEU"


def test_some_metrics_of_all_tasks():
    judged = {name: JudgedAccuracy(list) for name in ("right", "left")}
    tasks = [Task(title, [[("a", 1)]], "b", [1], judged) for title in ("a -> b", "c -> b")]
    tasks.append(Task("d -> b", [[("a", 1)]], "b", [1], {"up": judged["left"]}))
    assert [[*task.metrics] for task in restricted(tasks, ["left"])] == [["left"]] * 2
    with pytest.raises(ConfigError, match="--metrics has 'down', wanted some of right, left, up"):
        restricted(tasks, ["up", "down"])
    with pytest.raises(ConfigError, match="--metrics has 'rigth', did you mean right"):
        restricted(tasks, ["rigth"])
