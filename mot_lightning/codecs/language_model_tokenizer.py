"""The tokenizer of a language model whose tower is pretrained, kept in checkpoints."""

from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, UInt8
from tokenizers import Tokenizer
from torch import Tensor

from mot_lightning.codecs.tokenizer import HFTokenizer
from mot_lightning.config.paths import absolute_or_name
from mot_lightning.errors import require

PADDING = 1024  # a table has fewer rows than this beyond its tokenizer: more, and it is another model's


class LanguageModelTokenizer(HFTokenizer):
    """Text <-> ids of a language model's table. Checkpoints contain the tokenizer, so its folder may go.

    Args:
        name_or_path: as of `HFTokenizer`.
        vocab_size: rows of the table, which may be padded: ids without a token decode to nothing.
        stop: the id by which the language model ends its texts; null adds one.
        begin: the id by which it begins them, for whom the tower is exported to.

    A tokenizer that is not there, or that has more ids than the table or far fewer, is refused when it is used, unless
    a checkpoint has brought another one.

    Raises:
        ValueError: `stop` or `begin` is no row of the table.
    """

    def __init__(
        self, name_or_path: str | Path, vocab_size: int, stop: int | None = None, begin: int | None = None
    ) -> None:
        absolute_or_name(name_or_path, "name_or_path")
        self._loaded: Tokenizer | None = None
        try:
            super().__init__(name_or_path)
            size, both = self.vocab_size, f"as many rows as its tokenizer has ids, {self.vocab_size}, or some more"
            require("vocab_size", vocab_size, both, size <= vocab_size < size + PADDING)
            has_letters = len(self.encode("abc")) > 0
            require("name_or_path", str(name_or_path), "a tokenizer that has ids for 'abc'", has_letters)
        except ValueError as error:
            self._loaded, self._refused = None, str(error)
        for name, id in (("stop", stop), ("begin", begin)):
            require(name, id, f"an id below {vocab_size}", id is None or 0 <= id < vocab_size)
        self.vocab_size, self.stop, self.begin = vocab_size, stop, begin

    @property
    def tokenizer(self) -> Tokenizer:
        if self._loaded is None:
            raise ValueError(self._refused)
        return self._loaded

    @tokenizer.setter
    def tokenizer(self, tokenizer: Tokenizer) -> None:
        self._loaded = tokenizer

    def bytes_per_token(self) -> Float[Tensor, " vocab_size"]:
        """As of `Subwords`; the id that ends a text encodes no byte of it."""
        sizes = super().bytes_per_token()
        if self.stop is not None:
            sizes[self.stop] = 0
        return sizes

    @property
    def pretrained_hash(self) -> str:
        """None: what it is made of is in its state."""
        return ""

    def get_extra_state(self) -> UInt8[Tensor, " bytes"]:
        """The tokenizer's JSON, as bytes; empty if there is none."""
        text = "" if self._loaded is None else self._loaded.to_str()
        return torch.tensor(list(text.encode()), dtype=torch.uint8)

    def set_extra_state(self, state: Any) -> None:
        if len(state):
            self.tokenizer = Tokenizer.from_str(bytes(state.tolist()).decode())
