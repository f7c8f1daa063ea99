"""Handwritten digits, spoken digits and captions that name them, interleaved in documents about one digit.

Knows which media make a document and which tasks judge a model of them; sources load in `digit_sources.py`,
judges stand in `judges.py`.
"""

from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from datamodules import digit_sources
from datamodules.captions import SPOKEN, WORDS, WRITTEN, caption, named_digit
from datamodules.digit_sources import Labelled, play, turn
from datamodules.interleaved import InterleavedDataModule, Medium, Split
from datamodules.judges import ImageJudge, SoundJudge
from mot_lightning.evaluation.tasks import Reference, Task

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
    """Documents about one digit: an image of it, a sound of it and a caption, some of them or all, in random order.

    Needs no download: 1,797 handwritten digits of 8x8 pixels from scikit-learn, and synthesised spoken digits that
    ship with the package.

    Args:
        image_root: folder with MNIST's IDX files, gzip or not, any subset of the four; none takes scikit-learn's.
        speech_root: folder of the Free Spoken Digit Dataset (`{digit}_{speaker}_{index}.wav`), split by speaker,
            two held out for the test; none takes the synthesised digits.
        documents: share of documents with each set of modalities; order inside a document is random.
        two_images: share of documents with an image that show a second one of the same digit.
        speeds: training sounds are played at one of these, drawn anew each time; pitch goes with it.
        turns: training images are turned by one of these degrees, drawn anew each time.
        row_length: slots of a packed row; none takes 128, or 256 where a source of one's own has longer media.
        batch_size, clean_context, noise_cap, condition_dropout, seed, workers, guided: as in
            `InterleavedDataModule`.
    """

    def __init__(
        self,
        image_root: str | None = None,
        speech_root: str | None = None,
        documents: dict[str, float] = DOCUMENTS,
        two_images: float = 0.1,
        speeds: tuple[float, ...] = (0.85, 1.0, 1.15),
        turns: tuple[float, ...] = (0.0,),
        batch_size: int = 32,
        row_length: int | None = None,
        clean_context: float = 0.6,
        noise_cap: float = 1.0,
        condition_dropout: float = 0.1,
        seed: int = 0,
        workers: int = 0,
        guided: tuple[str, ...] | None = None,
    ) -> None:
        if row_length is None:
            row_length = 256 if image_root or speech_root else 128
        super().__init__(batch_size, row_length, clean_context, noise_cap, condition_dropout, seed, workers, guided)
        self.image_root, self.speech_root = image_root, speech_root
        for kind, share in documents.items():
            names = kind.split("+")
            fits = set(names) <= {"text", "image", "speech"} and len(set(names)) == len(names)
            if not fits or not isinstance(share, int | float) or share < 0:
                raise ValueError(
                    f"data.documents has {kind}: {share}, wanted text+image+speech, or part of it: a share"
                )
        if not sum(documents.values()):
            raise ValueError(f"data.documents is {documents}, wanted a share above 0")
        if not 0 <= two_images <= 1:
            raise ValueError(f"data.two_images is {two_images}, wanted a share from 0 to 1")
        self.kinds = [tuple(kind.split("+")) for kind in documents]
        self.shares = np.cumsum(list(documents.values())) / sum(documents.values())  # cumulative
        if not speeds or min(speeds) < 0.5 or max(speeds) > 2:
            raise ValueError(f"data.speeds is {list(speeds)}, wanted factors from 0.5 to 2")
        if not turns or not max(map(abs, turns)) <= 180:
            raise ValueError(f"data.turns is {list(turns)}, wanted degrees from -180 to 180")
        self.two_images, self.speeds, self.turns = two_images, tuple(speeds), tuple(turns)
        self.images: dict[str, Labelled] = {}
        self.sounds: dict[str, Labelled] = {}

    @classmethod
    def codec_settings(cls, image_root: str | None = None, **settings: Any) -> dict[str, dict[str, Any]]:
        shape, patch_size = ((1, 28, 28), 4) if image_root else ((1, 8, 8), 2)
        return {"image": {"shape": list(shape), "patch_size": patch_size}, "speech": {"sample_rate": 8000}}

    def setup(self, stage: str) -> None:
        if not self.images:
            root = Path(self.image_root) if self.image_root else None
            self.images = digit_sources.mnist(root) if root else digit_sources.sklearn_digits()
            speech = Path(self.speech_root) if self.speech_root else None
            self.sounds = digit_sources.fsdd(speech) if speech else digit_sources.synthesised()

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
        kind = list(self.kinds[np.searchsorted(self.shares, rng.random(), side="right")])
        if self.grammar is not None:  # a modality left out of the experiment leaves the rest
            kind = [name for name in kind if name in self.grammar.tokens] or list(self.grammar.tokens)[:1]
        if "image" in kind and rng.random() < self.two_images:
            kind.append("image")
        second = images.of(digit)
        second = second[second != index] if len(second) > 1 else second
        shown = [index, int(second[rng.integers(len(second))])]
        document = []
        for name in (kind[i] for i in rng.permutation(len(kind))):
            if name == "text":
                said = caption(digit, "image" in kind, "speech" in kind, rng)
                document.append(Medium("text", said, ("text", said)))
            elif name == "image":
                i = shown.pop(0)
                degrees = self.turns[rng.integers(len(self.turns))] if split == "train" else 0.0
                document.append(Medium("image", partial(turn, images.media[i], degrees), ("image", i, degrees)))
            else:
                i = int(sounds.of(digit)[rng.integers(len(sounds.of(digit)))])
                speed = self.speeds[rng.integers(len(self.speeds))] if split == "train" else 1.0
                document.append(Medium("speech", partial(play, sounds.media[i], speed), ("speech", i, speed)))
        return document

    @cached_property
    def judges(self) -> tuple[ImageJudge, SoundJudge]:
        """Trained on real training media, once."""
        return ImageJudge(self.images["train"]), SoundJudge(self.sounds["train"])

    def tasks(self, split: Split) -> list[Task]:
        image_judge, sound_judge = self.judges
        images, sounds = self.images[split], self.sounds[split]
        asked = [digit for digit in range(10) for _ in range(50)]
        written = [[("text", WRITTEN[i % len(WRITTEN)].format(WORDS[digit]))] for i, digit in enumerate(asked)]
        spoken = [[("text", SPOKEN[i % len(SPOKEN)].format(WORDS[digit]))] for i, digit in enumerate(asked)]
        heard = [[("speech", sound)] for sound in sounds.media]
        seen = [[("image", image)] for image in images.media]

        def read(texts: Sequence[str]) -> list[int]:
            return [named_digit(text) for text in texts]

        return [
            Task(
                "judge_accuracy",
                "text -> image",
                written,
                "image",
                asked,
                image_judge,
                real=(images.media, images.labels),
                temperature=1.0,
                guided=True,
                reference=Reference("digits", image_judge.extractor, images.media),
            ),
            Task(
                "speech_to_image_accuracy",
                "speech -> image",
                heard,
                "image",
                sounds.labels,
                image_judge,
                temperature=1.0,
                guided=True,
            ),
            Task("image_to_text_accuracy", "image -> text", seen, "text", images.labels, read),
            Task("speech_to_text_accuracy", "speech -> text", heard, "text", sounds.labels, read),
            Task(
                "text_to_speech_accuracy",
                "text -> speech",
                spoken,
                "speech",
                asked,
                sound_judge,
                real=(sounds.media, sounds.labels),
            ),
        ]
