"""The cache of what codecs learned: each entry is made once, written atomically, and refused if it was altered."""

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from filelock import FileLock

from mot_lightning.config.paths import absolute
from mot_lightning.errors import ConfigError

CACHE = "MOT_LIGHTNING_CACHE"  # environment variable: the folder, by default ~/.cache/mot_lightning


class UnwritableCacheError(ConfigError):
    """Nothing can be written to the cache."""


def cache_folder() -> Path:
    return absolute(os.environ.get(CACHE) or "~/.cache/mot_lightning", CACHE)


def cached(name: str, write: Callable[[Path], object]) -> Path:
    """The path of an entry, a file or a folder, which `write` makes if it or its digest is not there.

    Raises:
        UnwritableCacheError: it is not there, and the cache cannot be written to.
        ConfigError: it was altered after it was written.
    """
    path = cache_folder() / name
    digest = path.with_name(f"{name}.sha256")
    if not (path.exists() and digest.exists()):
        lock = FileLock(path.with_name(f"{name}.lock"))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire()  # other ranks and runs wait, then read it
        except OSError as error:
            message = f"{CACHE} is {path.parent}, wanted a folder to write to: {error.strerror}"
            raise UnwritableCacheError(message) from None
        try:
            if not (path.exists() and digest.exists()):
                with TemporaryDirectory(dir=path.parent) as temporary:
                    entry = Path(temporary) / "entry"
                    write(entry)
                    _remove(path)
                    digest.write_text(_digest(entry))
                    entry.replace(path)
        finally:
            lock.release()
    if digest.read_text() != _digest(path):
        raise ConfigError(f"{path} was altered, wanted it as it was written: delete it, and it is made again")
    return path


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _digest(path: Path) -> str:
    """SHA-256 over the contents of a file, or of all files of a folder and their names."""
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            content = file.read_bytes()
            name = file.relative_to(path).as_posix() if path.is_dir() else ""
            digest.update(f"{name} {len(content)} ".encode() + content)
    return digest.hexdigest()
