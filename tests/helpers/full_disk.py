"""A full disk: writes to the files of a pattern fail from a certain one on, as the system lets them fail."""

import builtins
import errno
import io
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from fnmatch import fnmatch
from typing import Any
from unittest import mock

import soundfile


@contextmanager
def full_disk(pattern: str, files: int = 0, writes: int = 0) -> Iterator[list[str]]:
    """In this context, the disk fills up while a file is written whose path fits a pattern.

    Args:
        files: how many such files are written before.
        writes: how many writes to the one after them succeed.

    Yields:
        The paths of such files in the order in which they are opened.
    """
    opened, write_sound = io.open, soundfile.write
    paths: list[str] = []

    def check(number: int, done: int) -> None:
        if number > files + 1 or (number == files + 1 and done >= writes):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    class File(io.FileIO):
        def __init__(self, path: str, mode: str) -> None:
            super().__init__(path, mode)
            paths.append(path)
            self.number, self.done = len(paths), 0

        def write(self, data: Any) -> int:
            check(self.number, self.done)
            self.done += 1
            return super().write(data)

    def open_(file: Any, mode: str = "r", buffering: int = -1, *args: Any, **kwargs: Any) -> Any:
        fits = not isinstance(file, int) and fnmatch(os.fsdecode(file), pattern)
        if not fits or not set(mode) & set("wax+"):
            return opened(file, mode, buffering, *args, **kwargs)
        raw = File(os.fsdecode(file), mode.replace("b", "").replace("t", ""))
        binary = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        return binary if "b" in mode else io.TextIOWrapper(binary, *args, **kwargs)

    def write_sound_(file: Any, *args: Any, **kwargs: Any) -> None:
        if fnmatch(os.fsdecode(file), pattern):
            paths.append(os.fsdecode(file))
            check(len(paths), 0)
        write_sound(file, *args, **kwargs)

    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(io, "open", open_))
        stack.enter_context(mock.patch.object(builtins, "open", open_))
        stack.enter_context(mock.patch.object(soundfile, "write", write_sound_))  # C, which opens files itself
        yield paths
