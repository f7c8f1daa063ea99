"""Text as bytes, the simplest tokenizer: nothing to learn, and any text can be encoded."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from mot_lightning.codecs.base import Codec
from mot_lightning.media import Text
from mot_lightning.sequence import Ids


class TextCodec(Codec):
    """The base of text codecs: their metric is bits per byte, whatever the tokens are."""

    media_type = Text()

    def media_bytes(self, media: str) -> int:
        return len(media.encode())

    def metrics(self, nats: float, targets: float, size: float) -> dict[str, float]:
        """Bits per byte: the bits of all segments, stop ids included, over their bytes."""
        return {"bits_per_byte": nats / math.log(2) / max(1.0, size)}


class Bytes(TextCodec):
    """Text <-> its UTF-8 bytes, 256 ids."""

    vocab_size = 256

    def encode(self, media: str) -> Ids:
        return torch.tensor(list(media.encode()), dtype=torch.long)  # (n,)

    def decode(self, tokens: Ids) -> str:
        """Bytes that are not UTF-8 become the replacement character."""
        return bytes(tokens.tolist()).decode(errors="replace")

    def bytes_per_token(self) -> Float[Tensor, " vocab_size"]:
        return torch.ones(self.vocab_size)
