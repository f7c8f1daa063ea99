"""Text: its files and pages, and bytes, the simplest tokenizer there is: nothing to learn, nothing it cannot write."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mot_lightning.codecs.base import Codec


class Text(Codec):
    """What all codecs of text share: files, captions, and bits per byte whatever the tokens are."""

    suffixes = (".txt",)

    def quantities(self, nats: float, targets: float, size: float) -> dict[str, float]:
        """Bits per byte: all that it takes to write the segments, their ends included, over their bytes."""
        return {"bits_per_byte": nats / math.log(2) / max(1.0, size)}

    def read(self, path: Path) -> str:
        try:
            return path.read_text(encoding="utf-8").removesuffix("\n")
        except UnicodeDecodeError:
            raise ValueError(f"{path} is not UTF-8 text") from None

    def write(self, media: str, stem: Path) -> Path:
        path = stem.with_name(f"{stem.name}{self.suffixes[0]}")
        path.write_text(media + "\n", encoding="utf-8")
        return path

    def write_many(self, media: Sequence[str], captions: Sequence[str], stem: Path) -> list[Path]:
        lines = [f"{caption} -> {text}" for caption, text in zip(captions, media, strict=True)]
        return [self.write("\n".join(lines), stem)]

    def show(self, board: Any, tag: str, media: Sequence[str], captions: Sequence[str], step: int) -> None:
        board.add_text(tag, "\n\n".join(f"{c} -> {text}" for c, text in zip(captions, media, strict=True)), step)


class Bytes(Text):
    """Text <-> its UTF-8 bytes (n,), 256 ids."""

    vocab_size = 256

    def encode(self, media: str) -> Tensor:
        return torch.tensor(list(media.encode()), dtype=torch.long)  # (n,)

    def decode(self, tokens: Tensor) -> str:
        """Bytes that are not UTF-8 come out as the replacement character."""
        return bytes(tokens.tolist()).decode(errors="replace")

    def sizes(self) -> Tensor:
        return torch.ones(self.vocab_size)
