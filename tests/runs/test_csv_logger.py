"""metrics.csv: every row once, flushed as it comes, with the rows of the run that goes on."""

import csv

import pytest
from full_disk import full_disk

from mot_lightning.errors import NotWritten
from mot_lightning.runs.csv_logger import CSVMetricsLogger


def rows_of(path):
    with path.open(newline="") as file:
        return [{name: value for name, value in row.items() if value} for row in csv.DictReader(file)]


def test_each_row_is_there_at_once_and_new_columns_keep_the_old_rows(tmp_path):
    logger = CSVMetricsLogger(tmp_path / "metrics.csv")
    logger.log_metrics({"a": 1.5}, 1)
    assert rows_of(logger.path) == [{"step": "1", "a": "1.5"}]
    logger.log_metrics({"b": 2}, 1)
    logger.log_metrics({"a": 3.123456}, 2)
    logger.log_metrics({"a": 3}, 2)  # shorter
    assert rows_of(logger.path) == [{"step": "1", "a": "1.5", "b": "2"}, {"step": "2", "a": "3"}]


def test_metrics_of_one_step_and_stage_share_a_row_whoever_logs_them(tmp_path):
    logger = CSVMetricsLogger(tmp_path / "metrics.csv")
    logger.log_metrics({"train/loss": 1.25, "val/loss": 2, "lr-AdamW": 3}, 1)
    logger.log_metrics({"train/loss": 7}, 2)
    logger.log_metrics({"val/image/loss": 4, "epoch": 0}, 1)
    logger.log_metrics({"train/grad_norm": 5}, 2)
    logger.log_metrics({"train/grad_norm": 55}, 2)
    logger.log_metrics({"train/grad_norm": 6}, 1)
    expected = [
        {"step": "1", "train/loss": "1.25", "lr-AdamW": "3", "train/grad_norm": "6"},
        {"step": "1", "val/loss": "2", "val/image/loss": "4"},
        {"step": "2", "train/loss": "7", "train/grad_norm": "55"},
    ]
    assert rows_of(logger.path) == expected
    logger.log_metrics({"train/loss": 8, "train/grad_norm": 9}, 3)  # after a rewrite, rows are appended again
    assert rows_of(logger.path) == [*expected, {"step": "3", "train/loss": "8", "train/grad_norm": "9"}]


def test_a_row_is_written_once(tmp_path):
    logger = CSVMetricsLogger(tmp_path / "metrics.csv")
    for _ in range(2):
        logger.log_metrics({"a": 1}, 1)
    assert rows_of(logger.path) == [{"step": "1", "a": "1"}]


def test_a_run_that_goes_on_in_its_folder_drops_its_later_rows(tmp_path):
    before = CSVMetricsLogger(tmp_path / "metrics.csv")
    for step in range(1, 5):
        before.log_metrics({"train/a": step}, step)
    before.log_metrics({"val/a": 9}, 2)
    after = CSVMetricsLogger(before.path)
    after.begin_with(before.path, 2)
    after.log_metrics({"train/a": 30}, 3)
    kept = [{"step": "1", "train/a": "1"}, {"step": "2", "train/a": "2"}, {"step": "2", "val/a": "9"}]
    assert rows_of(after.path) == [*kept, {"step": "3", "train/a": "30"}]


def test_a_resumed_run_begins_with_the_rows_up_to_its_step(tmp_path):
    before = CSVMetricsLogger(tmp_path / "before.csv")
    for step in range(1, 5):
        before.log_metrics({"a": step / 7}, step)
    after = CSVMetricsLogger(tmp_path / "after.csv")
    after.begin_with(before.path, 2)
    assert rows_of(after.path) == rows_of(before.path)[:2]
    after.log_metrics({"a": 2 / 7}, 2)  # made again
    after.log_metrics({"b": 1}, 3)
    assert rows_of(after.path) == [*rows_of(before.path)[:2], {"step": "3", "b": "1"}]


@pytest.mark.parametrize("pattern", ["*/.metrics.csv.*", "*/metrics.csv"])
def test_full_disk_leaves_the_old_rows_and_the_next_row_brings_all_back(tmp_path, pattern):
    logger = CSVMetricsLogger(tmp_path / "metrics.csv")
    logger.log_metrics({"a": 1}, 1)
    logger.log_metrics({"a": 2}, 2)
    with full_disk(pattern), pytest.raises(NotWritten, match=r"metrics\.csv cannot be written"):
        logger.log_metrics({"a": 3} if pattern == "*/metrics.csv" else {"b": 3}, 3)
    assert rows_of(logger.path) == [{"step": "1", "a": "1"}, {"step": "2", "a": "2"}]
    logger.log_metrics({"a": 4}, 4)
    assert [row["step"] for row in rows_of(logger.path)] == ["1", "2", "3", "4"]
    assert [file.name for file in tmp_path.iterdir()] == ["metrics.csv"]


def test_nothing_is_written_before_the_first_row(tmp_path):
    CSVMetricsLogger(tmp_path / "metrics.csv")
    assert not list(tmp_path.iterdir())
