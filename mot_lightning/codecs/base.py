"""What a codec is: a frozen map between raw media and tokens. It knows nothing of models or documents."""

import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor, nn

from mot_lightning.codecs.outside import fingerprint

PLACE = "name_or_path"  # the argument that says where weights from outside lie


class Codec(nn.Module, ABC):
    """Raw media <-> tokens, on the host: ids `(n,)` when `vocab_size` is set, else latents `(n, latent_dim)`.

    Whatever `fit` learns lives in buffers of fixed shape or in the extra state, so that a checkpoint holds it. Every
    argument of `__init__` stays an attribute of its name: it belongs to the codec's identity.
    """

    vocab_size: int | None = None
    latent_dim: int | None = None
    patch_size: int = 1  # side of the square of positions that a token of a grid holds, channel by channel
    max_length: int | None = None  # tokens of a segment that neither shape nor stop id ends: its begin token tells
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

    @property
    def codebook(self) -> Tensor | None:
        """What each id stands for, (vocab_size, c), near vectors for what is alike; None where ids are mere names."""
        return None

    @property
    def outside(self) -> str:
        """Hash of what the codec takes from a folder or a hub, which no checkpoint holds; empty where there is none."""
        return ""

    def identity(self, learned: Mapping[str, Any]) -> dict[str, Any]:
        """What settles every token: class, arguments, and a hash of all weights, given those learned (a state_dict).

        Weights from outside count by their hash, wherever they lie.
        """
        names = [name for name in inspect.signature(type(self)).parameters if name != PLACE]
        own = {name: getattr(self, name) for name in names if hasattr(self, name)}
        return {
            "class": f"{type(self).__module__}.{type(self).__qualname__}",
            "arguments": {name: list(value) if isinstance(value, tuple) else value for name, value in own.items()},
            "weights": fingerprint({"outside": self.outside, **learned}),
        }

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
        """A medium from a file; says in one line what had to be converted.

        Raises:
            ValueError: in one line, when the file does not hold one.
        """

    @abstractmethod
    def write(self, media: Any, stem: Path) -> Path:
        """Write a medium to `stem` plus the codec's own ending; returns the path."""

    def write_many(self, media: Sequence[Any], captions: Sequence[str], stem: Path) -> list[Path]:
        """Write several media with their captions, as a person would look at them; returns the paths."""
        return [self.write(medium, stem.with_name(f"{stem.name}_{i:02}")) for i, medium in enumerate(media)]

    @abstractmethod
    def show(self, board: Any, tag: str, media: Sequence[Any], captions: Sequence[str], step: int) -> None:
        """Hand several media to a TensorBoard `SummaryWriter`."""

    def sizes(self) -> Tensor | None:
        """Bytes of the medium that each id writes, `(vocab_size,)`, where a medium is bytes."""
        return None

    def quantities(self, nats: float, targets: float, size: float) -> dict[str, float]:
        """Named numbers, for ids, from the summed loss of so many targets, stop ids too, that write `size` bytes."""
        return {"perplexity": math.exp(min(nats / targets, 50.0))}


def check_codecs(codecs: Mapping[str, Codec], checkpoint: Mapping[str, Any]) -> None:
    """Raises ValueError where a checkpoint was trained with other codecs than these."""
    for name, codec in codecs.items():
        stem = f"codecs.{name}."
        learned = {k.removeprefix(stem): v for k, v in checkpoint["state_dict"].items() if k.startswith(stem)}
        has = codec.identity(learned)
        had = dict(checkpoint.get("codecs", {}).get(name, has))  # none, in a checkpoint of an earlier version
        had["arguments"] = {k: v for k, v in had["arguments"].items() if k != PLACE}  # neither had those
        for what in has:
            if had[what] != has[what]:
                raise ValueError(f"codec of {name!r}: its {what} is {has[what]}, wanted the checkpoint's {had[what]}")
