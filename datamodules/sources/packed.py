"""The content of a file that may be compressed."""

import gzip
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

MAX_UNPACKED = 2**30  # bytes of a compressed file: a small one may have an end beyond any memory
OPEN: dict[str, Callable[[Path], Any]] = {".gz": gzip.open, ".xz": lzma.open}


def content_of(file: Path) -> bytes:
    """The bytes of a file, unpacked by its suffix.

    Raises:
        ValueError: it is no file of its suffix, is cut short, or unpacks to more than 1 GiB.
    """
    if file.suffix not in OPEN:
        return file.read_bytes()
    try:
        with OPEN[file.suffix](file) as unpacked:
            content: bytes = unpacked.read(MAX_UNPACKED + 1)
    except (OSError, EOFError, lzma.LZMAError, zlib.error):
        raise ValueError(f"{file} is no {file.suffix} file, or is cut short") from None
    if len(content) > MAX_UNPACKED:
        raise ValueError(f"{file} unpacks to over {MAX_UNPACKED:,} bytes, wanted fewer, or a file that is not packed")
    return content
