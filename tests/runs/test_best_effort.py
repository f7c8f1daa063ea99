"""What a run can do without: its failure is one line."""

import pytest
from lightning.pytorch.loggers import CSVLogger

from mot_lightning.errors import NotWritten
from mot_lightning.runs.best_effort import best_effort, started, tolerant


def test_failure_is_one_line_with_its_reason(capsys):
    with best_effort("a"):
        raise ValueError("of two\nlines")
    with best_effort("b"):
        raise OSError(28, "No space left on device")
    lines = capsys.readouterr().err.splitlines()
    with best_effort("c"):
        raise NotWritten("d cannot be written")
    assert capsys.readouterr().err == "c failed: d cannot be written; the run goes on\n"
    assert lines == [
        "a failed: ValueError: of two lines; the run goes on",
        "b failed: No space left on device; the run goes on",
    ]


def test_signal_is_no_failure():
    with pytest.raises(KeyboardInterrupt), best_effort("a"):
        raise KeyboardInterrupt


def test_logger_that_cannot_begin_is_left_out(tmp_path, capsys):
    class Broken(CSVLogger):
        @property
        def experiment(self):
            raise ConnectionError("no network")

    loggers = [Broken(tmp_path, name="a"), CSVLogger(tmp_path, name="b")]
    assert started(loggers) == loggers[1:]
    assert capsys.readouterr().err.count("\n") == 1


def test_logger_says_its_first_failure_and_is_used_again(tmp_path, capsys):
    class Flaky(CSVLogger):
        fails = True
        steps = []  # noqa: RUF012

        def log_metrics(self, metrics, step=None):
            self.steps.append(step)
            if self.fails:
                raise ConnectionError("no network")

    logger = tolerant(Flaky(tmp_path, name="a"))
    for step in (1, 2):
        logger.log_metrics({}, step)
    logger.fails = False
    logger.log_metrics({}, 3)
    assert logger.steps == [1, 2, 3]
    assert isinstance(logger, CSVLogger)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"Flaky in {tmp_path}/a")
    assert line.endswith("failed: ConnectionError: no network; the run goes on")
