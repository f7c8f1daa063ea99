"""Handwritten digits, spoken digits and captions that name them, interleaved in documents about one digit.

Knows the media of a document and the tasks that measure a model; loading is left to `sources.py`, classifiers to
`judges.py`.
"""

import math
from collections import Counter
from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from datamodules.digits import sources
from datamodules.digits.captions import SPOKEN, WORDS, WRITTEN, caption, named_digit
from datamodules.digits.judges import ImageJudge, SoundJudge
from datamodules.digits.sources import Labelled, perturb_speed, rotate_image
from datamodules.documents import Medium, Split
from datamodules.interleaved import InterleavedDataModule
from mot_lightning.config.paths import absolute
from mot_lightning.evaluation.metrics import FrechetDistance, JudgedAccuracy
from mot_lightning.evaluation.tasks import Task

DOCUMENTS = {
    "text+image+speech": 0.5,
    "text+image": 0.18,
    "text+speech": 0.13,
    "image+speech": 0.09,
    "image": 0.06,
    "text": 0.02,
    "speech": 0.02,
}


class Digits(InterleavedDataModule):
    """Documents about one digit each: an image, a sound and a caption, or some of these, in random order.

    Needs no download: 1,797 handwritten digits of 8x8 pixels ship with scikit-learn, synthesised spoken digits with
    this package.

    Args:
        image_root: folder of MNIST's IDX files, gzipped or not, train, t10k or both; null takes scikit-learn's digits.
        speech_root: folder of the Free Spoken Digit Dataset (`{digit}_{speaker}_{index}.wav`), whose last two speakers
            are the test split; null takes the synthesised digits.
        documents: sampling weight of each set of modalities; the order inside a document is random.
        two_images: probability that a document with an image has a second one of the same digit.
        speed_perturbation: factors of speed and pitch, one of which is sampled at each use of a training sound.
        rotation_degrees: angles in degrees, one of which is sampled at each use of a training image.
        row_length: slots of a packed row; null takes 128, or 256 with `image_root` or `speech_root`.
        settings: as in `InterleavedDataModule`.
    """

    def __init__(
        self,
        image_root: Path | None = None,
        speech_root: Path | None = None,
        documents: dict[str, float] = DOCUMENTS,
        two_images: float = 0.1,
        speed_perturbation: tuple[float, ...] = (0.85, 1.0, 1.15),
        rotation_degrees: tuple[float, ...] = (0.0,),
        row_length: int | None = None,
        **settings: Any,
    ) -> None:
        if row_length is None:
            row_length = 256 if image_root or speech_root else 128
        super().__init__(row_length=row_length, **settings)
        self.image_root = None if image_root is None else absolute(image_root, "data.image_root")
        self.speech_root = None if speech_root is None else absolute(speech_root, "data.speech_root")
        for kind, weight in documents.items():
            names = kind.split("+")
            fits = set(names) <= {"text", "image", "speech"} and len(set(names)) == len(names)
            if not fits or not isinstance(weight, int | float) or not 0 <= weight < math.inf:
                raise ValueError(
                    f"data.documents has {kind}: {weight}, wanted a subset of text+image+speech and a weight from 0"
                )
        if not sum(documents.values()):
            raise ValueError(f"data.documents is {documents}, wanted a weight above 0")
        if not 0 <= two_images <= 1:
            raise ValueError(f"data.two_images is {two_images}, wanted a probability from 0 to 1")
        self.kinds = [tuple(kind.split("+")) for kind in documents]
        self.cumulative_weights = np.cumsum(list(documents.values())) / sum(documents.values())
        if not speed_perturbation or not all(0.5 <= factor <= 2 for factor in speed_perturbation):
            raise ValueError(f"data.speed_perturbation is {list(speed_perturbation)}, wanted factors from 0.5 to 2")
        if not rotation_degrees or not all(abs(degrees) <= 180 for degrees in rotation_degrees):
            raise ValueError(f"data.rotation_degrees is {list(rotation_degrees)}, wanted degrees from -180 to 180")
        self.two_images = two_images
        self.speed_perturbation, self.rotation_degrees = tuple(speed_perturbation), tuple(rotation_degrees)
        self.images: dict[str, Labelled] = {}
        self.sounds: dict[str, Labelled] = {}

    @classmethod
    def codec_settings(cls, image_root: Path | str | None = None, **settings: Any) -> dict[str, dict[str, Any]]:
        shape, patch_size = ((1, 28, 28), 4) if image_root else ((1, 8, 8), 2)
        return {"image": {"shape": list(shape), "patch_size": patch_size}, "speech": {"sample_rate": 8000}}

    def setup(self, stage: str) -> None:
        if not self.images:
            self.images = sources.mnist(self.image_root) if self.image_root else sources.sklearn_digits()
            self.sounds = sources.fsdd(self.speech_root) if self.speech_root else sources.synthesised()

    def size(self, split: Split) -> int:
        return len(self.images[split].media)

    def media(self, modality: str, split: Split) -> Sequence[Any]:
        if modality == "text":
            rng = np.random.default_rng(0)
            return [caption(digit, True, True, rng) for digit in self.images[split].labels]
        if modality not in ("image", "speech"):
            raise ValueError(f"Digits has no {modality!r}, wanted text, image and speech")
        return (self.images if modality == "image" else self.sounds)[split].media

    def compose(self, split: Split, index: int, rng: np.random.Generator) -> list[Medium]:
        images, sounds = self.images[split], self.sounds[split]
        digit = images.labels[index]
        kind = list(self.kinds[np.searchsorted(self.cumulative_weights, rng.random(), side="right")])
        if self.grammar is not None:  # drop modalities that the model does not have
            kind = [name for name in kind if name in self.grammar.tokens] or list(self.grammar.tokens)[:1]
        if "image" in kind and rng.random() < self.two_images:
            kind.append("image")
        others = images.of(digit)
        others = others[others != index] if len(others) > 1 else others
        indices = [index, int(others[rng.integers(len(others))])]
        document = []
        for name in (kind[i] for i in rng.permutation(len(kind))):
            if name == "text":
                text = caption(digit, "image" in kind, "speech" in kind, rng)
                document.append(Medium("text", text, ("text", text)))
            elif name == "image":
                i = indices.pop(0)
                degrees = self.rotation_degrees[rng.integers(len(self.rotation_degrees))] if split == "train" else 0.0
                document.append(Medium("image", partial(rotate_image, images.media[i], degrees), ("image", i, degrees)))
            else:
                i = int(sounds.of(digit)[rng.integers(len(sounds.of(digit)))])
                speed = self.speed_perturbation[rng.integers(len(self.speed_perturbation))] if split == "train" else 1.0
                document.append(Medium("speech", partial(perturb_speed, sounds.media[i], speed), ("speech", i, speed)))
        return document

    @cached_property
    def judges(self) -> tuple[ImageJudge, SoundJudge]:
        """Classifiers of images and sounds, trained once on real training media."""
        return ImageJudge(self.images["train"]), SoundJudge(self.sounds["train"])

    def tasks(self, split: Split) -> list[Task]:
        image_judge, sound_judge = self.judges
        images, sounds = self.images[split], self.sounds[split]
        digits = [digit for digit in range(10) for _ in range(50)]
        image_captions = [[("text", WRITTEN[i % len(WRITTEN)].format(WORDS[digit]))] for i, digit in enumerate(digits)]
        sound_captions = [[("text", SPOKEN[i % len(SPOKEN)].format(WORDS[digit]))] for i, digit in enumerate(digits)]
        sound_prompts = [[("speech", sound)] for sound in sounds.media]
        image_prompts = [[("image", image)] for image in images.media]

        def text_judge(texts: Sequence[str]) -> list[int]:
            return [named_digit(text) for text in texts]

        image_accuracy, text_accuracy = JudgedAccuracy(image_judge), JudgedAccuracy(text_judge)
        return [
            Task(
                "text -> image",
                image_captions,
                "image",
                digits,
                {"judge_accuracy": image_accuracy, "fid[digits]": FrechetDistance(image_judge.extractor, images.media)},
                real=(images.media, images.labels),
                temperature=1.0,
                guided=True,
                references=_alike(images, digits),
            ),
            Task(
                "speech -> image",
                sound_prompts,
                "image",
                sounds.labels,
                {"speech_to_image_accuracy": image_accuracy},
                temperature=1.0,
                guided=True,
                references=_alike(images, sounds.labels),
            ),
            Task(
                "image -> text",
                image_prompts,
                "text",
                images.labels,
                {"image_to_text_accuracy": text_accuracy},
                references=[WRITTEN[i % len(WRITTEN)].format(WORDS[d]) for i, d in enumerate(images.labels)],
            ),
            Task(
                "speech -> text",
                sound_prompts,
                "text",
                sounds.labels,
                {"speech_to_text_accuracy": text_accuracy},
                references=[SPOKEN[i % len(SPOKEN)].format(WORDS[d]) for i, d in enumerate(sounds.labels)],
            ),
            Task(
                "text -> speech",
                sound_captions,
                "speech",
                digits,
                {"text_to_speech_accuracy": JudgedAccuracy(sound_judge)},
                real=(sounds.media, sounds.labels),
                references=_alike(sounds, digits),
            ),
        ]


def _alike(source: Labelled, digits: Sequence[int]) -> list[Any]:
    """A real medium of each digit; all media of a digit in turns."""
    turns: Counter[int] = Counter()
    media = []
    for digit in digits:
        of_digit = source.of(digit)
        media.append(source.media[of_digit[turns[digit] % len(of_digit)]])
        turns[digit] += 1
    return media
