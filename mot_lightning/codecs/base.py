"""The interface of a codec: a frozen map between raw media and tokens. It does not know models or documents."""

import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from mot_lightning.codecs.pretrained import content_hash
from mot_lightning.config.recorded import Recorded
from mot_lightning.media import MediaType
from mot_lightning.sequence import Ids, Latents

NAME_OR_PATH = "name_or_path"  # the argument that locates pretrained weights


class Codec(Recorded, nn.Module, ABC):
    """Raw media <-> tokens, on the host: ids if `vocab_size` is set, else latents.

    What `fit` learns is in buffers of fixed shape or in the extra state, so that checkpoints contain it. Every argument
    of `__init__` is an attribute of the same name, which the fingerprint reads.
    """

    vocab_size: int | None = None
    latent_dim: int | None = None
    patch_size: int = 1  # side of the patch that one token of a grid holds, flattened as (channels, rows, columns)
    max_length: int | None = None  # tokens of a segment, if its begin token encodes the length
    begin: int | None = None  # the id that begins a text in the language model whose ids these are
    stop: int | None = None  # the id that ends a segment, if it is one of the codec's
    decodable: bool = True  # False: `decode` raises ValueError, and only an objective that does not predict fits
    media_type: MediaType  # how the media are read, written and shown

    def _apply(self, fn: Any, recurse: bool = True) -> "Codec":
        """Codecs stay on the host and in float32, like media and files, wherever the model moves."""
        return self

    @property
    def length(self) -> int | None:
        """Tokens of every segment, if fixed; None if a stop id or the begin token determines the length."""
        return None

    @property
    def grid(self) -> tuple[int, int] | None:
        """Rows and columns of a segment, if its tokens lie on a grid, row by row."""
        return None

    @property
    def codebook(self) -> Float[Tensor, "vocab_size c"] | None:
        """A vector for each id; similar ids have close vectors. None if ids have no vectors."""
        return None

    @property
    def pretrained_hash(self) -> str:
        """Hash of pretrained weights, which checkpoints do not contain; empty if there are none."""
        return ""

    def fingerprint(self, learned: Mapping[str, Any]) -> dict[str, Any]:
        """All that determines the tokens: class, arguments, and a hash of all weights.

        Pretrained weights enter by their hash, so that their folder may move.

        Args:
            learned: state_dict of what `fit` learned.
        """
        names = [name for name in inspect.signature(type(self)).parameters if name != NAME_OR_PATH]
        arguments = {name: getattr(self, name) for name in names if hasattr(self, name)}
        return {
            "class": f"{type(self).__module__}.{type(self).__qualname__}",
            "arguments": {name: list(x) if isinstance(x, tuple) else x for name, x in arguments.items()},
            "weights": content_hash({"pretrained": self.pretrained_hash, **learned}),
        }

    def fit(self, media: Sequence[Any]) -> None:
        """Learn from the training split's media. Most codecs have nothing to learn."""

    def check(self, media: Any) -> None:
        """Raises ValueError if a medium cannot be encoded."""
        self.media_type.check(media)

    @abstractmethod
    def encode(self, media: Any) -> Ids | Latents:
        """One medium -> its tokens."""

    @abstractmethod
    def decode(self, tokens: Ids | Latents) -> Any:
        """Tokens of one segment -> the medium."""

    def bytes_per_token(self) -> Float[Tensor, " vocab_size"] | None:
        """Bytes of the medium that each id encodes; None for media that are not measured in bytes."""
        return None

    def media_bytes(self, media: Any) -> int:
        """Bytes of a medium; 0 for media that are not measured in bytes."""
        return 0

    def metrics(self, nats: float, targets: float, size: float) -> dict[str, float]:
        """Metrics of ids, by name.

        Args:
            nats: summed cross-entropy of all targets.
            targets: number of target ids, stop ids included.
            size: bytes that the targets encode.
        """
        return {"perplexity": math.exp(min(nats / targets, 50.0))}
