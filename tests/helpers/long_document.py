"""Digits whose second document of validation is longer than any row."""

from typing import Any

from datamodules import Digits
from datamodules.documents import Medium


class LongValidation(Digits):
    def compose(self, split: Any, index: int, rng: Any) -> list[Medium]:
        if split == "val" and index == 1:
            return [Medium("text", "long " * 100)]
        return super().compose(split, index, rng)
