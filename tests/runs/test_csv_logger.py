"""metrics.csv: every row once, flushed as it comes, with the rows of the run that goes on."""

import csv

from mot_lightning.runs.csv_logger import CSVMetricsLogger


def rows_of(path):
    with path.open(newline="") as file:
        return [{name: value for name, value in row.items() if value} for row in csv.DictReader(file)]


def test_each_row_is_there_at_once_and_new_columns_keep_the_old_rows(tmp_path):
    logger = CSVMetricsLogger(tmp_path / "metrics.csv")
    logger.log_metrics({"a": 1.5}, 1)
    assert rows_of(logger.path) == [{"step": "1", "a": "1.5"}]
    logger.log_metrics({"b": 2}, 1)
    logger.log_metrics({"a": 3}, 2)
    assert rows_of(logger.path) == [{"step": "1", "a": "1.5"}, {"step": "1", "b": "2"}, {"step": "2", "a": "3"}]


def test_a_row_is_written_once(tmp_path):
    logger = CSVMetricsLogger(tmp_path / "metrics.csv")
    for _ in range(2):
        logger.log_metrics({"a": 1}, 1)
    assert rows_of(logger.path) == [{"step": "1", "a": "1"}]


def test_a_resumed_run_begins_with_the_rows_up_to_its_step(tmp_path):
    before = CSVMetricsLogger(tmp_path / "before.csv")
    for step in range(1, 5):
        before.log_metrics({"a": step / 7}, step)
    after = CSVMetricsLogger(tmp_path / "after.csv")
    after.begin_with(before.path, 2)
    after.log_metrics({"a": 2 / 7}, 2)  # made again
    after.log_metrics({"b": 1}, 3)
    assert rows_of(after.path) == [*rows_of(before.path)[:2], {"step": "3", "b": "1"}]


def test_nothing_is_written_before_the_first_row(tmp_path):
    CSVMetricsLogger(tmp_path / "metrics.csv")
    assert not list(tmp_path.iterdir())
