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
def full_disk(pattern: str, writes: float = 0) -> Iterator[list[str]]:
    """In this context, the disk is full for files that Python opens to write and whose path fits a pattern.

    Args:
        writes: how many writes to such files succeed before.

    Yields:
        The path of each file at each write, failed ones included.
    """
    opened = io.open
    written: list[str] = []

    class File(io.FileIO):
        def write(self, data: Any) -> int:
            written.append(str(self.name))
            if len(written) > writes:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return super().write(data)

    def open_(file: Any, mode: str = "r", buffering: int = -1, *args: Any, **kwargs: Any) -> Any:
        is_path = isinstance(file, str | os.PathLike) and fnmatch(os.fspath(file), pattern)
        if not is_path or not set(mode) & set("wax+"):
            return opened(file, mode, buffering, *args, **kwargs)
        raw = File(file, mode.replace("b", "").replace("t", ""))
        binary = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        return binary if "b" in mode else io.TextIOWrapper(binary, *args, **kwargs)

    def write_sound(file: Any, *args: Any, **kwargs: Any) -> None:
        if fnmatch(os.fspath(file), pattern):
            written.append(str(file))
            if len(written) > writes:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sound(file, *args, **kwargs)

    sound = soundfile.write  # a library in C that opens files itself
    with ExitStack() as stack:
        for module, name, function in (
            (io, "open", open_), (builtins, "open", open_), (soundfile, "write", write_sound)
        ):  # fmt: skip
            stack.enter_context(mock.patch.object(module, name, function))
        yield written
