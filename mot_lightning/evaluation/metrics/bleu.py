"""BLEU of generated texts."""

from collections.abc import Sequence
from typing import Any

from torchmetrics.text import BLEUScore

from mot_lightning.evaluation.metrics.references import references_of


class BLEU(BLEUScore):
    """BLEU of a corpus (Papineni et al., ACL 2002) from 0 to 1, of words between spaces; arguments as in torchmetrics.

    It is 0 if no text shares four words in a row with its reference.
    """

    compares_with = "references"

    def update(self, media: Sequence[str], targets: Sequence[Any]) -> None:
        super().update(list(media), [references_of(target) for target in targets])
