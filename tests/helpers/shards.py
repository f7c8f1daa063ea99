"""Pictures, sounds and tar shards in memory and on disk."""

import io
import tarfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import PIL.Image
import soundfile


def png(level: int) -> bytes:
    """A grey picture of 4x4 pixels."""
    file = io.BytesIO()
    PIL.Image.new("L", (4, 4), level).save(file, "png")
    return file.getvalue()


def wav(step: float) -> bytes:
    """A tone of a quarter of a second."""
    file = io.BytesIO()
    soundfile.write(file, np.sin(np.arange(2000) * step), 8000, format="WAV")
    return file.getvalue()


def special(name: str, kind: bytes, target: str = "") -> tuple[str, tarfile.TarInfo]:
    """A member that is no plain file, such as a link to a target."""
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return name, member


def write_shard(path: Path, members: Iterable[tuple[str, bytes | tarfile.TarInfo]]) -> Path:
    """A tar file of (name, content) pairs; a content that is a TarInfo is added as it is."""
    with tarfile.open(path, "w") as archive:
        for name, content in members:
            if isinstance(content, tarfile.TarInfo):
                archive.addfile(content)
            else:
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return path
