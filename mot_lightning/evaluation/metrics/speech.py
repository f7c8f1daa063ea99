"""Word and unit error rates of speech: what a recogniser hears beside the text that was to be said."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor
from torchmetrics import text

from mot_lightning.evaluation.metrics.recogniser import Recogniser
from mot_lightning.evaluation.metrics.references import words


class _Heard:
    """Before a metric of texts: hears media, and leaves case and punctuation out of both texts."""

    compares_with = "texts"
    plot_upper_bound = None  # what is heard may have more errors than the text has words

    def __init__(self, name_or_path: str | Path, sample_rate: int) -> None:
        super().__init__()
        self.recogniser, self.sample_rate = Recogniser(name_or_path), sample_rate

    def update(self, media: Sequence[Tensor], targets: Sequence[str]) -> None:
        heard = self.recogniser(media, self.sample_rate)
        parent: Any = super()
        parent.update([" ".join(words(one)) for one in heard], [" ".join(words(one)) for one in targets])


class WordErrorRate(_Heard, text.WordErrorRate):  # type: ignore[misc]
    """Word errors of what a recogniser hears, over the words of the prompts' texts; the recogniser's own errors count.

    Args:
        name_or_path: as in `Recogniser`.
        sample_rate: of the media, in Hz.
    """


class UnitErrorRate(_Heard, text.CharErrorRate):  # type: ignore[misc]
    """As `WordErrorRate`, of units: the characters that a recogniser writes."""
