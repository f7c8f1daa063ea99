"""What a codec is: a frozen map between raw media and tokens. It knows nothing of models or documents."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor, nn


class Codec(nn.Module, ABC):
    """Raw media <-> tokens, on the host: ids `(n,)` when `vocab_size` is set, else latents `(n, latent_dim)`.

    Whatever `fit` learns lives in buffers of fixed shape, so that a checkpoint holds it.
    """

    vocab_size: int | None = None
    latent_dim: int | None = None
    patch_size: int = 1  # side of the square of positions that a token of a grid holds, channel by channel
    max_length: int | None = None  # tokens of a segment whose begin token tells how many there are: neither shape nor
    length_step: int = 1  # stop id ends it, and they are a multiple of this
    suffixes: ClassVar[tuple[str, ...]]  # file endings; the first is the one it writes

    def _apply(self, fn: Any, recurse: bool = True) -> "Codec":
        """Codecs stay on the host and in float32, where media, files and judges are, wherever the model goes."""
        return self

    @property
    def length(self) -> int | None:
        """Tokens of a segment, where its shape fixes them; None where a stop id or its begin token tells."""
        return None

    @property
    def grid(self) -> tuple[int, int] | None:
        """Rows and columns of a segment, where its tokens lie on a grid, row by row."""
        return None

    def fit(self, media: Sequence[Any]) -> None:
        """Learn from the training split's media. Most codecs have nothing to learn."""

    def check(self, media: Any) -> None:
        """Raises ValueError where media of this kind cannot be encoded at all."""

    @abstractmethod
    def encode(self, media: Any) -> Tensor:
        """One medium -> its tokens."""

    @abstractmethod
    def decode(self, tokens: Tensor) -> Any:
        """Tokens of one segment -> the medium."""

    @abstractmethod
    def read(self, path: Path) -> Any:
        """A medium from a file. Raises ValueError with one line when the file does not hold one."""

    @abstractmethod
    def write(self, media: Any, stem: Path) -> Path:
        """Write a medium to `stem` plus the codec's own ending; returns the path."""

    def write_many(self, media: Sequence[Any], captions: Sequence[str], stem: Path) -> list[Path]:
        """Write several media with their captions, as a person would look at them; returns the paths."""
        return [self.write(medium, stem.with_name(f"{stem.name}_{i:02}")) for i, medium in enumerate(media)]

    @abstractmethod
    def show(self, board: Any, tag: str, media: Sequence[Any], captions: Sequence[str], step: int) -> None:
        """Hand several media to a TensorBoard `SummaryWriter`."""

    def quantities(self, nats: float, targets: float, segments: float) -> dict[str, float]:
        """Named numbers, for ids, from the summed loss of so many targets, of which one in each segment is its stop."""
        return {"perplexity": math.exp(min(nats / targets, 50.0))}
