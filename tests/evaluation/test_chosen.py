"""Metrics that a config chooses, on tasks."""

from dataclasses import replace

import pytest
import torch
from tiny_networks import save_ctc
from torch import nn

from mot_lightning.codecs import Patches
from mot_lightning.evaluation.chosen import available, with_chosen, with_task_names
from mot_lightning.evaluation.measure import task_rows
from mot_lightning.evaluation.metrics import WordErrorRate
from mot_lightning.evaluation.tasks import Task

OURS = "mot_lightning.evaluation.metrics."
KERNEL = OURS + "KernelDistance"


class Means(nn.Module):
    """Images -> the means of their rows, times a factor."""

    num_features = 8

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, images):
        return images.float().mean((1, 3)) * self.factor


def spec(path, **arguments):
    return {"class_path": path, "init_args": arguments}


def images(n, seed=0):
    return list(torch.rand(n, 1, 8, 8, generator=torch.Generator().manual_seed(seed)))


@pytest.fixture
def task():
    prompts = [[("text", "a seven")]] * 20
    return Task("text -> image", prompts, "image", [7] * 20, {}, references=images(20, 1))


CODECS = {"text": None, "image": Patches((1, 8, 8), 2)}


def test_each_target_gets_its_metrics_and_they_are_measured(task):
    other = Task("image -> text", [[("image", images(1)[0])]], "text", [7], {}, references=["a"])
    extractor = spec(f"{__name__}.Means", factor=2.0)
    chosen = {
        "image": {
            "psnr": spec("torchmetrics.image.psnr.PeakSignalNoiseRatio", data_range=1.0),
            "fid[rows]": spec("torchmetrics.image.fid.FrechetInceptionDistance", feature=extractor),
            "kid[rows]": spec(KERNEL, extractor=extractor),
        },
        "text": {"wer": spec("torchmetrics.text.WordErrorRate")},
    }
    one, two = with_chosen([task, other], chosen, CODECS)
    assert [*one.metrics] == [*chosen["image"]]
    rows = {row.quantity: row for row in task_rows(one, images(20), 1.0, 0)}
    assert rows["psnr"].value > 5
    assert rows["fid[rows]"].value > 0
    assert rows["kid[rows]"].low < rows["kid[rows]"].value < rows["kid[rows]"].high
    assert not [row for row in rows.values() if "unavailable" in row.note]
    assert task_rows(two, ["a"], 1.0, 0)[0].value == 0
    assert task.metrics == {}
    assert not one.metrics["fid[rows]"].reset_real_features  # they are seen once, for all measurements


def test_each_task_is_compared_with_its_real_media(task):
    spoken = Task("speech -> image", task.prompts, "image", task.labels, {}, real=(images(30, 2), [7] * 30))
    both = replace(spoken, references=images(20, 3))
    extractor = spec(f"{__name__}.Means", factor=1.0)
    for path, argument in (("torchmetrics.image.fid.FrechetInceptionDistance", "feature"), (KERNEL, "extractor")):
        chosen = {"image": {"distance": spec(path, **{argument: extractor})}}
        one, *others = (item.metrics["distance"] for item in with_chosen([task, spoken, both], chosen, CODECS))
        assert one.reference is task.references
        assert all(other.reference is spoken.real[0] for other in others)


def test_a_task_that_the_model_cannot_do_gets_none(task):
    (other,) = with_chosen([task], {"image": {"one": spec(OURS + "PSNR")}}, {"image": CODECS["image"]})
    assert other.metrics == {}


def test_one_that_cannot_be_had_says_why_and_the_others_go_on(task, tmp_path):
    chosen = {
        "image": {
            "clip": spec(OURS + "CLIPScore", name_or_path=str(tmp_path / "nowhere")),
            "psnr": spec("torchmetrics.image.psnr.PeakSignalNoiseRatio", data_range=1.0),
        }
    }
    tasks = with_chosen([task], chosen, CODECS)
    clip, psnr = task_rows(tasks[0], images(20), 1.0, 0)
    assert clip.note.startswith("unavailable: CLIPScore: name_or_path is ")
    assert psnr.value > 5
    (able,), reasons = available(tasks)
    assert [*able.metrics] == ["psnr"]
    assert reasons == {"image/clip": clip.note.removeprefix("unavailable: ")}


def test_without_real_media_there_is_no_distance(task):
    alone = Task(task.title, task.prompts, "image", task.labels, {})
    chosen = {"image": {"kid": spec(KERNEL, extractor=spec(f"{__name__}.Means", factor=1.0))}}
    (row,) = task_rows(*with_chosen([alone], chosen, CODECS), images(20), 1.0, 0)
    assert row.note == "unavailable: task 'text -> image' has no real media to compare with"


def test_networks_are_loaded_once_for_all_tasks_at_the_codecs_rate(tmp_path):
    class AtRate:
        class media_type:
            sample_rate = 8_000

    prompts = [[("text", "seven")]]
    tasks = [Task(f"{name} -> speech", prompts, "speech", [7], {}) for name in ("text", "words")]
    chosen = {"speech": {"wer": spec(OURS + "WordErrorRate", name_or_path=save_ctc(tmp_path))}}
    one, two = with_chosen(tasks, chosen, {"text": None, "speech": AtRate()})
    assert one.metrics["wer"] is two.metrics["wer"]
    assert isinstance(one.metrics["wer"], WordErrorRate)
    assert one.metrics["wer"].sample_rate == 8_000


def test_where_several_tasks_have_one_target_names_are_told_apart(task):
    chosen = {"image": {"psnr": spec("torchmetrics.image.psnr.PeakSignalNoiseRatio", data_range=1.0)}}
    spoken = Task("speech -> image", [[("text", "a")]], "image", [1], {"right": None})
    assert [[*one.metrics] for one in with_task_names(with_chosen([task], chosen, CODECS), chosen)] == [["psnr"]]
    both = with_task_names(with_chosen([task, spoken], chosen, CODECS), chosen)
    assert [[*one.metrics] for one in both] == [["text_to_image/psnr"], ["right", "speech_to_image/psnr"]]
