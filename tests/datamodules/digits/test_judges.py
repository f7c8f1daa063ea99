"""Judges are accurate on real media, and tasks cover all digits."""

import numpy as np
import pytest
import torch

from datamodules import Digits
from datamodules.digits.captions import WORDS, named_digit
from datamodules.digits.judges import ImageJudge, SoundJudge
from datamodules.digits.sources import Labelled


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)  # thousands of tiny operations, slower with more threads


@pytest.fixture(scope="module")
def data():
    data = Digits()
    data.setup("test")
    return data


@pytest.fixture(scope="module")
def tasks(data):
    return {task.title: task for task in data.tasks("test")}


def accuracy(judge, part):
    return np.mean(np.array(judge(part.media)) == np.array(part.labels))


@pytest.mark.parametrize("split", ["val", "test"])
def test_image_judge_is_accurate_on_held_out_images(data, split):
    assert accuracy(ImageJudge(data.images["train"]), data.images[split]) >= 0.97


def test_sound_judge_is_accurate_on_held_out_voices(data):
    judge = SoundJudge(data.sounds["train"])
    assert accuracy(judge, data.sounds["test"]) >= 0.95


def test_sound_judge_ignores_loudness_and_accepts_very_short_sounds(data):
    judge = SoundJudge(Labelled(data.sounds["train"].media[::4], data.sounds["train"].labels[::4]))
    sounds = data.sounds["test"].media[::16]
    assert judge([0.2 * sound for sound in sounds]) == judge(sounds)
    for quiet in (torch.zeros(0), torch.zeros(1), torch.full((80,), 0.1)):
        assert judge([quiet])[0] in range(10)


def test_judges_are_deterministic(data):
    images = data.images["test"].media[:20]
    first, second = (ImageJudge(data.images["train"]) for _ in range(2))
    assert first(images) == second(images)
    pictures = torch.randint(256, (3, 3, 8, 8), dtype=torch.uint8)
    torch.testing.assert_close(first.extractor(pictures), second.extractor(pictures), rtol=0, atol=0)


def test_extractor_returns_64_features_per_uint8_image(data):
    extractor = ImageJudge(data.images["train"]).extractor
    assert extractor.num_features == 64
    features = extractor(torch.randint(256, (5, 3, 8, 8), dtype=torch.uint8))
    assert features.shape == (5, 64)
    assert features.dtype == torch.float32
    assert not any(parameter.requires_grad for parameter in extractor.parameters())


def distance(metric, images):
    metric.reset()
    metric.update(images, [None] * len(images))
    return float(metric.compute())


def test_frechet_distance_of_real_images_is_far_below_noise(data, tasks):
    metric = tasks["text -> image"].metrics["fid[digits]"]
    real = data.images["train"].media[:300]
    noise = list(torch.rand(300, 1, 8, 8, generator=torch.Generator().manual_seed(0)))
    assert distance(metric, data.images["test"].media) < 1e-2  # the reference itself
    assert distance(metric, real) < 0.1 * distance(metric, noise)


def test_tasks_cover_each_digit_50_times_or_all_test_media(data, tasks):
    for name in ("text -> image", "text -> speech"):
        assert np.bincount(tasks[name].labels).tolist() == [50] * 10
    assert tasks["image -> text"].labels == data.images["test"].labels
    for name in ("speech -> text", "speech -> image"):
        assert tasks[name].labels == data.sounds["test"].labels


def test_text_prompts_name_their_label(tasks):
    for task in tasks.values():
        assert len(task.prompts) == len(task.labels)
        for prompt, label in zip(task.prompts, task.labels, strict=True):
            for modality, media in prompt:
                assert modality != task.target
                if modality == "text":
                    assert [WORDS.index(word) for word in media.replace(",", "").split() if word in WORDS] == [label]


def test_tasks_evaluate_the_judge_on_the_real_test_split(data, tasks):
    for name, part in (("text -> image", data.images["test"]), ("text -> speech", data.sounds["test"])):
        media, labels = tasks[name].real
        assert media is part.media
        assert labels is part.labels


def test_text_judge_takes_the_first_named_digit(tasks):
    judge = tasks["image -> text"].metrics["image_to_text_accuracy"].judge
    texts = ["the number four", "SEVEN, drawn by hand", "it is a two or a six", "xyz", ""]
    assert judge(texts) == [named_digit(text) for text in texts] == [4, 7, 2, -1, -1]


def test_every_task_logs_unique_metric_names(tasks):
    names = [f"{task.target}/{name}" for task in tasks.values() for name in task.metrics]
    assert sorted(names) == [
        "image/fid[digits]",
        "image/judge_accuracy",
        "image/speech_to_image_accuracy",
        "speech/text_to_speech_accuracy",
        "text/image_to_text_accuracy",
        "text/speech_to_text_accuracy",
    ]
