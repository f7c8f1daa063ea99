"""A datamodule and callbacks of a user, each of which forgets something."""

from typing import Any

from lightning.pytorch import Callback

from datamodules import Digits
from datamodules.interleaved import InterleavedDataModule


class NoSize(InterleavedDataModule):
    @classmethod
    def codec_settings(cls, **settings: Any) -> dict[str, dict[str, Any]]:
        return Digits.codec_settings()

    def media(self, modality: str, split: Any) -> list[Any]:
        return []

    def compose(self, split: Any, index: int, rng: Any) -> list[Any]:
        return []


class NoColour(Digits):
    def __init__(self, colour: str, batch_size: int = 4, seed: int = 0) -> None:
        super().__init__(batch_size=batch_size, seed=seed)


class Misspelt(Digits):
    def __init__(self, batch_size: int = 4, seed: int = 0) -> None:
        super().__init__(bach_size=batch_size, seed=seed)  # type: ignore[call-arg]


class Counter(Callback):
    def __init__(self, count: int) -> None:
        self.count = count


class HalfCounter(Counter):
    def __init__(self, step: int = 1) -> None:
        super().__init__()  # type: ignore[call-arg]
