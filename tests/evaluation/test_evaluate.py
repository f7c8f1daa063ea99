"""Tasks, the distance between made and real images, and the table at the end."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from mot_lightning.evaluation.evaluate import frechet_distance, standard_error
from mot_lightning.evaluation.table import table
from mot_lightning.evaluation.tasks import Reference, Task


class Means(nn.Module):
    """Features of an image: the means of its quarters."""

    num_features = 4

    def forward(self, images):
        assert images.dtype == torch.uint8
        grey = images.float().mean(1, keepdim=True)
        return nn.functional.adaptive_avg_pool2d(grey, 2).flatten(1)


def pictures(n, seed=0, channels=1):
    return [0.8 * picture for picture in torch.rand(n, channels, 8, 8, generator=torch.Generator().manual_seed(seed))]


@pytest.mark.parametrize("channels", [1, 3])
def test_the_frechet_distance_grows_with_the_difference(channels):
    real = pictures(60, channels=channels)
    reference = Reference("means", Means(), real)
    same = frechet_distance(reference, real)
    alike = frechet_distance(reference, pictures(60, seed=1, channels=channels))
    near, far = (frechet_distance(reference, [image + shift for image in real]) for shift in (0.1, 0.2))
    assert same == pytest.approx(0, abs=1e-2)
    assert same < alike < near < far
    # all that differs is four means, each by the same shift of 255
    assert far == pytest.approx(4 * (0.2 * 255) ** 2, rel=0.01)
    assert near == pytest.approx(4 * (0.1 * 255) ** 2, rel=0.02)


def task(name="accuracy", title="text -> image", target="image", n=4, **others):
    prompts = [[("text", f"a {i}")] for i in range(n)]
    return Task(name, title, prompts, target, labels=list(range(n)), judge=lambda media: [0] * len(media), **others)


def test_a_task_needs_all_that_it_reads_and_makes():
    assert task().modalities() == {"text", "image"}
    assert task(target="text").modalities() == {"text"}


def test_a_title_becomes_a_file_name():
    assert task().slug == "text_to_image"
    assert task(title="text + image -> speech").slug == "text_image_to_speech"


def test_the_first_of_a_task_take_turns_over_its_labels():
    whole = task(n=10)
    part = whole.first(5)
    assert list(part.labels) == [0, 1, 2, 3, 4]
    assert part.prompts == whole.prompts[:5]
    grouped = replace(whole, labels=[0] * 5 + [1] * 5)
    assert list(grouped.first(4).labels) == [0, 1, 0, 1]
    assert grouped.first(4).prompts == [whole.prompts[i] for i in (0, 5, 1, 6)]
    assert (part.name, part.title, part.target) == (whole.name, whole.title, whole.target)
    assert whole.first(10).prompts == whole.prompts
    assert whole.first(0).prompts == []
    assert len(whole.prompts) == 10


def test_a_task_is_drawn_at_another_temperature_where_it_draws():
    assert task("a", "a", "text", temperature=1.0).at(0.3).temperature == 0.3
    assert task("a", "a", "text").at(0.3).temperature == 0


def test_a_caption_is_the_words_or_else_the_label():
    words = task()
    assert words.caption(2) == "a 2"
    two = Task("accuracy", "", [[("text", "a red"), ("text", "seven")]], "image", [7], list)
    assert two.caption(0) == "a red seven"
    seen = Task("accuracy", "", [[("image", torch.zeros(1, 8, 8))]], "text", [7], list)
    assert seen.caption(0) == "image of a 7"
    both = Task("accuracy", "", [[("image", torch.zeros(1, 8, 8)), ("text", "name it")]], "text", [7], list)
    assert both.caption(0) == "name it"


TASKS = [
    task(guided=True, reference=Reference("means", Means(), [])),
    task("named", "image -> text", "text"),
    task("not_asked", "speech -> image"),
]
METRICS = {
    "test/text/loss": 1.25,
    "test/text/bits_per_byte": 1.803,
    "test/image/loss": 0.5,
    "model/text/active_parameters": 1234567,
    "model/text/forward_flops_per_token": 2_500_000,
    "model/image/active_parameters": 7654321,
    "model/image/forward_flops_per_token": 12_345_678,
    "model/parameters": 9999999,
    "test/image/accuracy": 0.5,
    "test/image/accuracy_samples": 100,
    "test/image/accuracy_guided": 0.75,
    "test/image/accuracy_real": 0.99,
    "test/image/fid[means]": 12.25,
    "test/image/fid_guided[means]": 9.87,
    "test/text/named": 1.0,
    "test/text/named_samples": 20,
}


def blocks(text):
    """The lines of each table, and what stands below."""
    *tables, below = text.split("\n\n")
    return [block.splitlines() for block in tables], below.splitlines()


def cells(line):
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


def test_the_table_tells_all_that_was_measured():
    (own, across), below = blocks(table(METRICS, ["image", "text"], TASKS))
    assert cells(own[2]) == ["image", "0.500", "7,654,321", "12.35"]
    assert cells(own[3]) == ["text", "1.250", "1.803 bits per byte", "1,234,567", "2.50"]
    assert cells(across[2]) == ["text -> image", "0.500 ±0.050", "0.750", "0.990", "100", "12.25", "9.87"]
    assert cells(across[3]) == ["image -> text", "1.000 ±0.000", "20"]
    assert len(across) == 4  # no line for a task that was not run
    assert below == ["parameters in all: 9,999,999"]


def test_every_line_of_a_table_is_aligned():
    tables, _ = blocks(table(METRICS, ["image", "text"], TASKS))
    assert len(tables) == 2
    for lines in tables:
        assert len({len(line) for line in lines}) == 1
        assert set(lines[1]) == {"-"}


def test_a_run_with_nothing_measured_has_a_table_too():
    tables, below = blocks(table({}, ["text"], TASKS))
    assert len(tables) == 1
    assert cells(tables[0][2])[:2] == ["text", "nan"]
    assert below == ["parameters in all: 0"]


def test_training_is_told_where_it_was_measured():
    text = table({**METRICS, "fit/seconds": 61.4, "fit/peak_rss_mb": 812.3}, ["text"], [])
    assert text.splitlines()[-1] == "training: 61 s, peak memory 812 MB"


def test_the_error_of_a_share_shrinks_with_the_samples():
    assert standard_error(0.5, 100) == pytest.approx(0.05)
    assert standard_error(0.5, 400) == pytest.approx(0.025)
    assert standard_error(1.0, 10) == 0
