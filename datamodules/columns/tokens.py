"""Media that are encoded already, of the source `Tokens`."""

from collections.abc import Sequence
from typing import Any

import torch

from datamodules.columns.base import Column
from datamodules.sources.base import Encoded, Record
from mot_lightning.codecs import Codec


class TokenColumn(Column):
    """The tokens of a modality; they are decoded only to look at them.

    Args:
        column: the modality.
    """

    codec: Codec  # set when the data are connected to a model

    def __init__(self, column: str) -> None:
        super().__init__(column)

    def values(self, record: Record) -> Sequence[Any]:
        """The media of a record; none is copied before it is indexed."""
        return record.get(self.column) or ()

    def weights(self, record: Record, count: int) -> list[float]:
        return record[self.column].weights if count else []

    def decode(self, value: Encoded) -> Any:
        with torch.no_grad():
            return self.codec.decode(value.tokens)
