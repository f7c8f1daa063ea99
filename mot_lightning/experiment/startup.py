"""Process-wide settings at the start of a command: log output and freed memory."""

import ctypes
import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# parameters of glibc's mallopt(3)
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3


def quiet() -> None:
    """Silence Lightning's start-up messages, and warnings about intended behaviour."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    for message in (
        ".*does not have many workers.*",
        ".*treespec, LeafSpec.*",
        ".*Checkpoint directory .* exists and is not empty.*",  # of a job that SLURM has restarted
        ".*in eval mode at the start.*",
        ".*Total length of `DataLoader` across ranks is zero.*",  # `checks` says so
        ".*ended before the epoch ended and your dataloader is not resumable.*",  # the sampler makes it so
    ):
        warnings.filterwarnings("ignore", message=message)


def keep_freed_memory() -> None:
    """Make glibc keep freed memory for the next step instead of returning it to the system.

    New memory would be cleared page by page in every step. Other C libraries are left unchanged.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, 32 << 20)  # the maximum
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


@contextmanager
def quiet_threads() -> Iterator[None]:
    """Without the traceback of TensorBoard's writing thread, whose exception the next call of its logger raises."""
    report = threading.excepthook

    def without_tensorboard(args: Any) -> None:
        if type(args.thread).__module__ != "tensorboard.summary.writer.event_file_writer":
            report(args)

    threading.excepthook = without_tensorboard
    try:
        yield
    finally:
        threading.excepthook = report
