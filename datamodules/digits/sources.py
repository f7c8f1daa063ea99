"""Sources of digits: labelled images and sounds in disjoint train, val and test splits."""

import csv
import gzip
import math
import re
import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile
import torch
import torch.nn.functional as F
import torchaudio.functional
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2.functional import rotate

from mot_lightning.media.audio_file import read_audio

SAMPLE_RATE = 8000  # Hz
MAX_IDX_BYTES = 2**30  # twice the largest part of EMNIST
DEFLATE_RATIO = 1032  # by which deflate shrinks at most


@dataclass
class Labelled:
    """Media of one split and the digit of each."""

    media: list[Tensor]
    labels: list[int]
    by_digit: list[np.ndarray] = field(init=False)

    def __post_init__(self) -> None:
        self.by_digit = [np.flatnonzero(np.array(self.labels) == digit) for digit in range(10)]

    def of(self, digit: int) -> np.ndarray:
        """Indices of a digit's media."""
        return self.by_digit[digit]


def _split(media: list[Tensor], labels: list[int], **sizes: int) -> dict[str, Labelled]:
    """Disjoint splits of one fixed shuffle, of the given sizes; the rest is train."""
    order = np.random.default_rng(0).permutation(len(media))
    parts = dict(zip((*sizes, "train"), np.split(order, np.cumsum(list(sizes.values()))), strict=True))
    return {split: Labelled([media[i] for i in part], [labels[i] for i in part]) for split, part in parts.items()}


def sklearn_digits() -> dict[str, Labelled]:
    """1,797 handwritten digits of 8x8 pixels (UCI): 1,347 to train, 150 to validate, 300 to test."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = list(torch.from_numpy(digits.images / 16).float()[:, None])  # (1, 8, 8) each
    return _split(images, digits.target.tolist(), test=300, val=150)


def mnist(root: Path) -> dict[str, Labelled]:
    """MNIST from IDX files: 59,000 / 1,000 / 10,000 images in train, val and test; t10k is test.

    If there are only files of train or of t10k, a tenth of them is test, a twentieth val.

    Raises:
        ValueError: the folder is missing or holds no pair of images and labels, or a file cannot be read.
    """
    if not root.is_dir():
        expected = "wanted one with MNIST's IDX files"
        raise ValueError(f"data.image_root {str(root)!r} is not a folder, {expected}{_what_would_do(root)}")
    halves = {}
    for half in ("train", "t10k"):
        paths = [_find(root, f"{half}-{kind}") for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")]
        if all(paths):
            images, labels = (_read_idx(path) for path in paths if path)
            if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels) or labels.max(initial=0) > 9:
                seen = f"images {images.shape} and labels {labels.shape} up to {labels.max(initial=0)}"
                raise ValueError(f"{paths[0]} and its labels hold {seen}, wanted (n, h, w) and (n,) up to 9")
            halves[half] = list(torch.from_numpy(images).float()[:, None] / 255), labels.tolist()
    if not halves:
        pair = "no pair of images-idx3-ubyte and labels-idx1-ubyte files"
        raise ValueError(f"data.image_root {str(root)!r} has {pair}{_what_would_do(root)}")
    if len(halves) == 2:
        train_and_val = _split(*halves["train"], val=len(halves["train"][0]) // 60)
        splits = {**train_and_val, "test": Labelled(*halves["t10k"])}
    else:
        media, labels = next(iter(halves.values()))
        splits = _split(media, labels, test=len(media) // 10, val=len(media) // 20)
    _check_splits(splits, "data.image_root", root, range(0))
    return splits


def _what_would_do(root: Path) -> str:
    """A hint at folders in or beside a path that hold MNIST or spoken digits, or an empty string."""
    folder = root if root.is_dir() else root.parent
    depths = ("", "*/", "*/*/") if root.is_dir() else ("",)  # torchvision's MNIST is in MNIST/raw, FSDD in recordings
    for option, names in (("image_root", "*-images[-.]idx3-ubyte*"), ("speech_root", "[0-9]_*_[0-9]*.wav")):
        for depth in depths:
            if first := min(folder.glob(depth + names), default=None):
                return f", did you mean data.{option}={first.parent}?"
    return ""


def _find(root: Path, stem: str) -> Path | None:
    # files are called train-images-idx3-ubyte or train-images.idx3-ubyte, gzipped or not
    names = [name + suffix for name in (stem, stem.replace("-idx", ".idx")) for suffix in ("", ".gz")]
    return next((root / name for name in names if (root / name).is_file()), None)


def _read_idx(path: Path) -> np.ndarray:
    """The array of an IDX file, gzipped or not; never decompresses more than its header announces."""
    try:
        zipped = path.suffix == ".gz"
        with gzip.open(path) if zipped else path.open("rb") as file:
            start = file.read(4)
            if start[:3] != b"\0\0\x08":
                raise ValueError(f"it begins with {start[:3]!r}, wanted unsigned bytes, 0 0 8")
            shape = struct.unpack(f">{start[3]}I", file.read(4 * start[3]))
            size, most = math.prod(shape), path.stat().st_size * (DEFLATE_RATIO if zipped else 1)
            if size > min(most, MAX_IDX_BYTES):
                limit = f"at most {MAX_IDX_BYTES:,}" if size > MAX_IDX_BYTES else "those of a file of its size"
                raise ValueError(f"its header announces {size:,} bytes, wanted {limit}")
            content = file.read(size + 1)
        if len(content) != size:
            seen = "more" if len(content) > size else f"{len(content):,}"
            raise ValueError(f"it holds {seen} bytes, wanted the {size:,} that its header announces")
        return np.frombuffer(content, np.uint8).reshape(shape).copy()
    except (OSError, EOFError, IndexError, struct.error, zlib.error, ValueError) as error:
        raise ValueError(f"{path} is not a readable IDX file: {error}") from None


def synthesised() -> dict[str, Labelled]:
    """Digits spoken by espeak-ng, shipped with the package; every voice is in one split only."""
    folder = Path(__file__).parent / "spoken"
    sounds: dict[str, np.ndarray] = {}
    splits: dict[str, tuple[list[Tensor], list[int]]] = {split: ([], []) for split in ("train", "val", "test")}
    with (folder / "cuts.csv").open() as file:
        for cut in csv.DictReader(file):
            if cut["file"] not in sounds:
                sounds[cut["file"]] = soundfile.read(folder / cut["file"], dtype="float32")[0]
            media, labels = splits[cut["split"]]
            media.append(torch.from_numpy(sounds[cut["file"]][int(cut["start"]) : int(cut["end"])]))
            labels.append(int(cut["digit"]))
    return {split: Labelled(*parts) for split, parts in splits.items()}


def _check_splits(splits: dict[str, Labelled], option: str, root: Path, digits: range) -> None:
    """Raises ValueError if a split is empty or lacks one of `digits`."""
    for split, part in splits.items():
        lacking = [digit for digit in digits if not len(part.of(digit))]
        if not part.media or lacking:
            missing = f"no {lacking[0]}" if part.media else "nothing"
            raise ValueError(f"{option} {str(root)!r} has {missing} for the {split} split: it holds too few files")


def fsdd(root: Path) -> dict[str, Labelled]:
    """A folder like the Free Spoken Digit Dataset: the last two speakers are test, indices 0 to 4 of the others val.

    Raises:
        ValueError: the folder is missing, has fewer than three speakers, or a file that is not audio.
    """
    if not root.is_dir():
        expected = "wanted one with files like 7_name_0.wav"
        raise ValueError(f"data.speech_root {str(root)!r} is not a folder, {expected}{_what_would_do(root)}")
    matches = [(path, re.fullmatch(r"(\d)_(.+)_(\d+)", path.stem)) for path in sorted(root.glob("*.wav"))]
    files = [(path, int(m[1]), m[2], int(m[3])) for path, m in matches if m]
    speakers = sorted({speaker for _, _, speaker, _ in files})
    if len(speakers) < 3:
        raise ValueError(
            f"data.speech_root {str(root)!r} has {len(speakers)} speakers (7_name_0.wav), wanted at least 3"
            + _what_would_do(root) * (not speakers)
        )
    splits: dict[str, tuple[list[Tensor], list[int]]] = {split: ([], []) for split in ("train", "val", "test")}
    for path, digit, speaker, index in files:
        split = "test" if speaker in speakers[-2:] else "val" if index < 5 else "train"
        splits[split][0].append(read_audio(path, SAMPLE_RATE))
        splits[split][1].append(digit)
    labelled = {split: Labelled(*parts) for split, parts in splits.items()}
    _check_splits(labelled, "data.speech_root", root, range(10))
    return labelled


def rotate_image(image: Tensor, degrees: float) -> Tensor:
    """An image rotated counterclockwise about its centre, at four times its resolution to blur it less."""
    if degrees == 0:
        return image
    enlarged = F.interpolate(image[None], scale_factor=4, mode="bicubic")  # (1, c, 4 h, 4 w)
    return F.avg_pool2d(rotate(enlarged, degrees, InterpolationMode.BILINEAR), 4)[0].clamp(0, 1)


def perturb_speed(sound: Tensor, speed: float) -> Tensor:
    """A sound at `speed` times its speed and pitch (speed perturbation, Ko et al., Interspeech 2015)."""
    return sound if speed == 1 else torchaudio.functional.speed(sound, SAMPLE_RATE, speed)[0]
