"""Exact match of generated texts."""

from collections.abc import Sequence
from typing import Any

from mot_lightning.evaluation.metrics.accuracy import JudgedAccuracy
from mot_lightning.evaluation.metrics.references import references_of


class ExactMatch(JudgedAccuracy):
    """The fraction of texts that are a reference of theirs, apart from spaces around both."""

    compares_with = "references"

    def __init__(self) -> None:
        super().__init__(list)

    def update(self, media: Sequence[str], targets: Sequence[Any]) -> None:
        for text, target in zip(media, targets, strict=True):
            self.correct += text.strip() in [reference.strip() for reference in references_of(target)]
        self.total += len(media)
