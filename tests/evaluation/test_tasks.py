"""Evaluation tasks and their subsets."""

from dataclasses import replace

import pytest
import torch

from mot_lightning.errors import ConfigError
from mot_lightning.evaluation.metrics import JudgedAccuracy
from mot_lightning.evaluation.tasks import Task, check_names


def task(metric="accuracy", title="text -> image", target="image", n=4, **others):
    prompts = [[("text", f"a {i}")] for i in range(n)]
    judged = JudgedAccuracy(lambda media: [0] * len(media))
    return Task(title, prompts, target, list(range(n)), {metric: judged}, **others)


def test_task_modalities_are_prompts_and_target():
    assert task().modalities() == {"text", "image"}
    assert task(target="text").modalities() == {"text"}


def test_slug_is_a_file_name_from_the_title():
    assert task().slug == "text_to_image"
    assert task(title="text + image -> speech").slug == "text_image_to_speech"


def test_subset_alternates_over_labels():
    whole = task(n=10)
    part = whole.subset(5)
    assert list(part.labels) == [0, 1, 2, 3, 4]
    assert part.prompts == whole.prompts[:5]
    grouped = replace(whole, labels=[0] * 5 + [1] * 5)
    assert list(grouped.subset(4).labels) == [0, 1, 0, 1]
    assert grouped.subset(4).prompts == [whole.prompts[i] for i in (0, 5, 1, 6)]
    assert (part.title, part.target, part.metrics) == (whole.title, whole.target, whole.metrics)
    assert whole.subset(10).prompts == whole.prompts
    assert whole.subset(0).prompts == []
    assert len(whole.prompts) == 10


def test_subset_of_texts_is_in_their_order():
    """The first of the alphabet would be another sample than all."""
    whole = replace(task(n=4), labels=["z", "b", None, "b"])
    assert list(whole.subset(3).labels) == ["z", "b", None]
    assert list(replace(whole, labels=[3, 1, 2, 1]).subset(3).labels) == [1, 2, 3]


def test_with_temperature_changes_only_sampled_tasks():
    assert task(target="text", temperature=1.0).with_temperature(0.3).temperature == 0.3
    assert task(target="text").with_temperature(0.3).temperature == 0


def test_caption_is_the_prompt_text_or_else_the_label():
    words = task()
    assert words.caption(2) == "a 2"
    two = Task("", [[("text", "a red"), ("text", "seven")]], "image", [7], {})
    assert two.caption(0) == "a red seven"
    seen = Task("", [[("image", torch.zeros(1, 8, 8))]], "text", [7], {})
    assert seen.caption(0) == "image of a 7"
    both = Task("", [[("image", torch.zeros(1, 8, 8)), ("text", "name it")]], "text", [7], {})
    assert both.caption(0) == "name it"


def test_a_part_of_a_task_keeps_the_real_medium_of_each_prompt():
    whole = task(n=4, references=["r0", "r1", "r2", "r3"])
    assert replace(whole, labels=[0, 0, 1, 1]).subset(2).references == ["r0", "r2"]
    with pytest.raises(ValueError, match="references has 3 media, wanted 4"):
        task(n=4, references=["r0", "r1", "r2"])


def test_two_tasks_of_one_target_need_different_metric_names():
    tasks = [task(title=title, target=title[-1]) for title in ("a -> b", "c -> b", "a -> c")]
    check_names([tasks[0], tasks[2]])
    with pytest.raises(ConfigError, match="metric 'accuracy' is of the tasks 'a -> b' and 'c -> b', wanted two names"):
        check_names(tasks)


def test_a_metric_names_what_it_is_compared_with():
    whole = task(n=2, references=["r0", "r1"])
    metric = whole.metrics["accuracy"]
    assert whole.targets_of(metric) == whole.labels
    for kind, targets in (("references", ["r0", "r1"]), ("texts", ["a 0", "a 1"])):
        metric.compares_with = kind
        assert whole.targets_of(metric) == targets
        assert not whole.absolute
    spoken = replace(whole, prompts=[[("text", "a")], [("speech", torch.zeros(4))]])
    with pytest.raises(ValueError, match="has no texts of its prompts, wanted some for JudgedAccuracy"):
        spoken.targets_of(metric)
