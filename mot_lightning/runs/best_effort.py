"""What a training can do without, such as samples and loggers: a failure is said in one line, and the run goes on."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from lightning.pytorch.loggers import Logger

from mot_lightning.errors import NotWritten, say
from mot_lightning.runs.atomic import os_error

METHODS = ("log_metrics", "log_hyperparams", "log_graph", "save", "finalize", "after_save_checkpoint")


def report_failure(what: str, error: Exception) -> None:
    """Say in one line what failed and why."""
    cause = os_error(error)
    if isinstance(error, NotWritten):
        message = str(error)
    else:
        message = (cause.strerror if cause else None) or f"{type(error).__name__}: {error}"
    say(f"{what} failed: {' '.join(message.split())}; the run goes on", file=sys.stderr)


@contextmanager
def best_effort(what: str, kind: type[Exception] = Exception) -> Iterator[None]:
    """In this context, an exception of this kind is said in one line and goes no further."""
    try:
        yield
    except kind as error:
        report_failure(what, error)


class _Tolerant:
    """A method of a logger that raises nothing.

    Args:
        said: whether a failure of this logger was said, shared by its methods.
    """

    def __init__(self, logger: Logger, name: str, said: list[bool]) -> None:
        self.logger, self.name, self.said = logger, name, said

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return getattr(type(self.logger), self.name)(self.logger, *args, **kwargs)
        except Exception as error:
            if not self.said:
                report_failure(_name(self.logger), error)
                self.said.append(True)


def _name(logger: Logger) -> str:
    folder = getattr(logger, "log_dir", None) or logger.save_dir
    return type(logger).__name__ + (f" in {folder}" if folder else "")


def started(loggers: Iterable[Logger]) -> list[Logger]:
    """The loggers whose experiment begins; Lightning would begin them all, and fail with one of them."""
    able = []
    for logger in loggers:
        with best_effort(_name(logger)):
            getattr(logger, "experiment", None)
            able.append(logger)
    return able


def tolerant(logger: Logger) -> Logger:
    """The logger itself, which from now on says its first failure in one line and never ends a run."""
    said: list[bool] = []
    for name in METHODS:
        setattr(logger, name, _Tolerant(logger, name, said))
    return logger
