"""Where digits come from: labelled images and sounds in disjoint train, val and test splits."""

import csv
import gzip
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

from mot_lightning.codecs.sound_file import read_sound

SAMPLE_RATE = 8000


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
    """Disjoint splits from one shuffle, always the same: those of given sizes, and what is left to train on."""
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
    """MNIST from IDX files. Both halves: 59,000 / 1,000 / 10,000. One half: a tenth to test, a twentieth to validate.

    Raises:
        ValueError: the folder is missing or holds no pair of images and labels, or a file cannot be read.
    """
    if not root.is_dir():
        raise ValueError(f"data.image_root {str(root)!r} is not a folder, wanted one with MNIST's IDX files")
    halves = {}
    for half in ("train", "t10k"):
        found = [_find(root, f"{half}-{kind}") for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")]
        if all(found):
            images, labels = (_read_idx(path) for path in found if path)
            if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels) or labels.max(initial=0) > 9:
                seen = f"images {images.shape} and labels {labels.shape} up to {labels.max(initial=0)}"
                raise ValueError(f"{found[0]} and its labels hold {seen}, wanted (n, h, w) and (n,) up to 9")
            halves[half] = list(torch.from_numpy(images).float()[:, None] / 255), labels.tolist()
    if not halves:
        raise ValueError(f"data.image_root {str(root)!r} has no pair of images-idx3-ubyte and labels-idx1-ubyte files")
    if len(halves) == 2:
        kept = _split(*halves["train"], val=len(halves["train"][0]) // 60)
        splits = {**kept, "test": Labelled(*halves["t10k"])}
    else:
        media, labels = next(iter(halves.values()))
        splits = _split(media, labels, test=len(media) // 10, val=len(media) // 20)
    _check_splits(splits, "data.image_root", root, range(0))
    return splits


def _find(root: Path, stem: str) -> Path | None:
    # both spellings are in circulation: train-images-idx3-ubyte and train-images.idx3-ubyte, bare or gzipped
    names = [name + end for name in (stem, stem.replace("-idx", ".idx")) for end in ("", ".gz")]
    return next((root / name for name in names if (root / name).is_file()), None)


def _read_idx(path: Path) -> np.ndarray:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            content = file.read()
        if content[:3] != b"\0\0\x08":
            raise ValueError(f"it begins with {content[:3]!r}, wanted unsigned bytes, 0 0 8")
        dimensions = content[3]
        shape = struct.unpack(f">{dimensions}I", content[4 : 4 + 4 * dimensions])
        return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape).copy()
    except (OSError, EOFError, IndexError, struct.error, zlib.error, ValueError) as error:
        raise ValueError(f"{path} is not a readable IDX file: {error}") from None


def synthesised() -> dict[str, Labelled]:
    """Digits spoken by espeak-ng, shipped with the package; voices of val and test are never heard in training."""
    folder = Path(__file__).parent / "spoken_digits"
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


def _check_splits(splits: dict[str, Labelled], option: str, root: Path, wanted: range) -> None:
    """Raises ValueError where a split is empty, or lacks one of the digits that documents will ask it for."""
    for split, part in splits.items():
        lacking = [digit for digit in wanted if not len(part.of(digit))]
        if not part.media or lacking:
            what = f"no {lacking[0]}" if part.media else "nothing"
            raise ValueError(f"{option} {str(root)!r} has {what} for the {split} split: it holds too few files")


def fsdd(root: Path) -> dict[str, Labelled]:
    """The Free Spoken Digit Dataset's layout: two speakers are the test; indices 0 to 4 of the others validate.

    Raises:
        ValueError: the folder is missing, has fewer than three speakers, or holds a file that is no sound.
    """
    if not root.is_dir():
        raise ValueError(f"data.speech_root {str(root)!r} is not a folder, wanted one with files like 7_name_0.wav")
    named = [(path, re.fullmatch(r"(\d)_(.+)_(\d+)", path.stem)) for path in sorted(root.glob("*.wav"))]
    files = [(path, int(m[1]), m[2], int(m[3])) for path, m in named if m]
    speakers = sorted({speaker for _, _, speaker, _ in files})
    if len(speakers) < 3:
        raise ValueError(
            f"data.speech_root {str(root)!r} has {len(speakers)} speakers (7_name_0.wav), wanted at least 3"
        )
    splits: dict[str, tuple[list[Tensor], list[int]]] = {split: ([], []) for split in ("train", "val", "test")}
    for path, digit, speaker, index in files:
        split = "test" if speaker in speakers[-2:] else "val" if index < 5 else "train"
        splits[split][0].append(read_sound(path, SAMPLE_RATE))
        splits[split][1].append(digit)
    found = {split: Labelled(*parts) for split, parts in splits.items()}
    _check_splits(found, "data.speech_root", root, range(10))
    return found


def turn(image: Tensor, degrees: float) -> Tensor:
    """An image turned about its middle, against the clock, in finer pixels than its own: less of it blurs."""
    if degrees == 0:
        return image
    fine = F.interpolate(image[None], scale_factor=4, mode="bicubic")
    return F.avg_pool2d(rotate(fine, degrees, InterpolationMode.BILINEAR), 4)[0].clamp(0, 1)


def play(sound: Tensor, speed: float) -> Tensor:
    """A sound played faster or slower, pitch and all (speed perturbation, Ko et al., Interspeech 2015)."""
    return sound if speed == 1 else torchaudio.functional.speed(sound, SAMPLE_RATE, speed)[0]
