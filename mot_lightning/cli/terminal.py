"""Output streams that show the control characters of a text in place of sending them to the terminal."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any

from mot_lightning.errors import escaped

PROGRESS = re.compile(r"(\r|\x1b\[A)")  # what a progress bar needs, and only where a terminal shows one


class Escaping:
    """A text stream that escapes what is written to it.

    Args:
        stream: where it goes.
    """

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        parts = PROGRESS.split(text) if text.startswith(("\r", "\x1b[A", "\n\x1b[A")) else [text]
        self.stream.write("".join(part if PROGRESS.fullmatch(part) else escaped(part) for part in parts))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextmanager
def escaping() -> Iterator[None]:
    """In this context, standard output and standard error escape control characters."""
    with redirect_stdout(Escaping(sys.stdout)), redirect_stderr(Escaping(sys.stderr)):
        yield
