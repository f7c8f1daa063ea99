"""The table printed after a test."""

import torch

from mot_lightning.evaluation.metrics import FrechetDistance, JudgedAccuracy
from mot_lightning.evaluation.table import table
from mot_lightning.evaluation.tasks import Task

ACCURACY = JudgedAccuracy(lambda media: [0] * len(media))


def task(title, target, metrics, **others):
    return Task(title, [[("text", "a")]], target, [0], metrics, **others)


TASKS = [
    task(
        "text -> image",
        "image",
        {"accuracy": ACCURACY, "fid[means]": FrechetDistance(torch.nn.Identity(), [])},
        guided=True,
    ),
    task("image -> text", "text", {"named": ACCURACY}),
    task("speech -> image", "image", {"not_asked": ACCURACY}),
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
    "test/image/fid[means]_guided": 9.87,
    "test/image/fid[means]_samples": 100,
    "test/text/named": 1.0,
    "test/text/named_samples": 20,
}


def blocks(text):
    """The lines of each table, and the lines below the tables."""
    *tables, below = text.split("\n\n")
    return [block.splitlines() for block in tables], below.splitlines()


def cells(line):
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


def test_table_shows_all_metrics():
    (by_modality, across), below = blocks(table(METRICS, ["image", "text"], TASKS))
    assert cells(by_modality[2]) == ["image", "0.500", "7,654,321", "12.35"]
    assert cells(by_modality[3]) == ["text", "1.250", "1.803 bits per byte", "1,234,567", "2.50"]
    assert cells(across[2]) == ["text -> image", "accuracy", "0.500 ±0.049", "0.750", "0.990", "100"]
    assert cells(across[3]) == ["text -> image", "fid[means]", "12.250", "9.870", "100"]  # without a standard error
    assert cells(across[4]) == ["image -> text", "named", "1.000 ±0.056", "20"]
    assert len(across) == 5  # no line for a task that was not run
    assert below == ["parameters in all: 9,999,999"]


def test_table_lines_are_aligned():
    tables, _ = blocks(table(METRICS, ["image", "text"], TASKS))
    assert len(tables) == 2
    for lines in tables:
        assert len({len(line) for line in lines}) == 1
        assert set(lines[1]) == {"-"}


def test_table_is_printed_without_metrics():
    tables, below = blocks(table({}, ["text"], TASKS))
    assert len(tables) == 1
    assert cells(tables[0][2])[:2] == ["text", "none"]
    assert below == ["parameters in all: 0"]


def test_table_ends_with_training_time_and_peak_memory():
    text = table({**METRICS, "fit/seconds": 61.4, "fit/peak_rss_mb": 812.3}, ["text"], [])
    assert text.splitlines()[-1] == "training: 61 s, peak memory 812 MB"
