"""Data folders for tests: small generated ones, and real ones where available."""

import gzip
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

SPEAKERS = ("ann", "bob", "cleo", "dan")


def real_data(folder: str) -> Path:
    """A folder of real data; skips the test if it is missing."""
    root = Path(os.environ.get("MOT_LIGHTNING_DATA") or Path(__file__).parents[3] / "shared/data") / folder
    if not root.is_dir():
        pytest.skip(f"no real data at {root}: set MOT_LIGHTNING_DATA to the folder that holds {folder}/")
    return root


def idx(array: np.ndarray) -> bytes:
    """An array of bytes in MNIST's IDX format."""
    return struct.pack(f">2x2B{array.ndim}I", 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


def half(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Distinct random images, and labels of all ten digits."""
    images = np.random.default_rng(seed).integers(0, 256, (count, 28, 28))
    return images, np.arange(count) % 10


def write_half(root: Path, name: str, count: int, seed: int, zipped: bool) -> None:
    """Write the image and label files of one MNIST half, "train" or "t10k"."""
    for kind, array in zip(("images-idx3", "labels-idx1"), half(count, seed), strict=True):
        content, path = idx(array), root / f"{name}-{kind}-ubyte{'.gz' * zipped}"
        path.write_bytes(gzip.compress(content) if zipped else content)


def write_sound(path: Path, frequency: float, samples: int = 2400, rate: int = 8000) -> None:
    soundfile.write(path, 0.5 * np.sin(2 * np.pi * frequency * np.arange(samples) / rate), rate)


def write_fsdd(root: Path, clips: int = 7, speakers: tuple[str, ...] = SPEAKERS) -> None:
    """Write clips in the layout of the Free Spoken Digit Dataset, each a different tone."""
    for s, speaker in enumerate(speakers):
        for digit in range(10):
            for i in range(clips):
                write_sound(root / f"{digit}_{speaker}_{i}.wav", 200 + 700 * s + 60 * digit + 5 * i)
