"""Files that are written whole: a kill or a full disk at any moment leaves the old file or the new one."""

import json
import math
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from mot_lightning.errors import NotWritten


@contextmanager
def replacing(path: Path, previous: Path | None = None) -> Iterator[BinaryIO]:
    """A file to write, which takes the place of `path` at the end of the context, when it is on disk.

    What a killed process left of its own attempt is removed first.

    Args:
        previous: where the file that was at `path` is kept.

    Raises:
        NotWritten: the system refused a write.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(path, *([previous] if previous else []))
        with temporary.open("w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if previous is not None and path.is_file():
            _keep(path, previous)
        temporary.replace(path)
        _sync(path.parent)
    except Exception as error:
        cause = os_error(error)
        if cause is None:
            raise
        raise NotWritten(f"{path} cannot be written: {cause.strerror or cause}") from error
    finally:
        with suppress(NotADirectoryError):  # its folder is a file
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole, in UTF-8.

    Raises:
        NotWritten: the system refused a write.
    """
    with replacing(path) as file:
        file.write(text.encode(errors="backslashreplace"))  # names of files may be other bytes than UTF-8


def write_json(path: Path, content: Any, indent: int = 1) -> None:
    """Write a JSON file whole. NaN and infinity become null: JSON has neither.

    Raises:
        NotWritten: the system refused a write.
    """
    write_text(path, json.dumps(_finite(content), indent=indent, allow_nan=False) + "\n")


def _finite(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def os_error(error: BaseException | None) -> OSError | None:
    """The system's error behind an exception: torch.save raises its own RuntimeError after it."""
    while error is not None:
        if isinstance(error, OSError):
            return error
        error = error.__cause__ or error.__context__
    return None


def _keep(path: Path, previous: Path) -> None:
    """Let `previous` name the file at `path`, which keeps its own name for now."""
    link = previous.with_name(f".{previous.name}.{os.getpid()}")
    try:
        link.hardlink_to(path)
        link.replace(previous)
    except OSError:  # a filesystem without hard links: for a moment there is only `previous`
        path.replace(previous)
    finally:
        link.unlink(missing_ok=True)


def _remove_leftovers(*paths: Path) -> None:
    """Remove the temporary files of killed processes; one run writes into a folder at a time."""
    names = "|".join(re.escape(path.name) for path in paths)
    for file in paths[0].parent.iterdir():
        if re.fullmatch(rf"\.({names})\.\d+", file.name):
            file.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    """Put the names in a folder on disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
