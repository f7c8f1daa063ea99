"""Tokens in an Arrow batch, by NumPy's views of mapped memory: scalars of Arrow would take most of the time to read."""

from collections.abc import Sequence
from typing import Any

from datamodules.sources.base import Encoded


class EncodedColumn:
    """The media of one modality in each record of a batch.

    Args:
        cells: an array of lists of structs of `tokens`, `bytes` and `weight`.
        latent_dim: of latents; None of ids.
    """

    def __init__(self, cells: Any, latent_dim: int | None) -> None:
        media, tokens = cells.values, cells.values.field("tokens")
        self.first_medium = cells.offsets.to_numpy()  # of each record
        self.first_token = tokens.offsets.to_numpy()  # of each medium
        self.tokens, self.latent_dim = tokens.values.to_numpy(), latent_dim
        self.bytes, self.weights = media.field("bytes").to_numpy(), media.field("weight").to_numpy()

    def __getitem__(self, row: int) -> "EncodedMedia":
        return EncodedMedia(self, int(self.first_medium[row]), int(self.first_medium[row + 1]))

    def medium(self, number: int) -> Encoded:
        flat = self.tokens[self.first_token[number] : self.first_token[number + 1]]
        array = flat if self.latent_dim is None else flat.reshape(-1, self.latent_dim)
        return Encoded(array, int(self.bytes[number]))


class EncodedMedia(Sequence[Encoded]):
    """The media of a record, in mapped memory."""

    def __init__(self, column: EncodedColumn, start: int, stop: int) -> None:
        self.column, self.numbers = column, range(start, stop)

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def weights(self) -> list[float]:
        """Of the losses of all media."""
        weights: list[float] = self.column.weights[self.numbers.start : self.numbers.stop].tolist()
        return weights

    def __getitem__(self, index: Any) -> Any:
        numbers = self.numbers[index]
        return [*map(self.column.medium, numbers)] if isinstance(index, slice) else self.column.medium(numbers)
