"""Text as subwords: any Hugging Face tokenizer, and byte-level BPE trained on the texts of the training split."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, UInt8
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor

from mot_lightning.codecs.pretrained import content_hash, load_pretrained
from mot_lightning.codecs.text import TextCodec
from mot_lightning.config.paths import absolute_or_name
from mot_lightning.errors import require
from mot_lightning.sequence import Ids


class Subwords(TextCodec):
    """Text <-> ids of a `tokenizers.Tokenizer`. No special token is added: the grammar ends segments by a stop id."""

    vocab_size: int
    tokenizer: Tokenizer

    def encode(self, media: str) -> Ids:
        return torch.tensor(self.tokenizer.encode(media, add_special_tokens=False).ids, dtype=torch.long)  # (n,)

    def decode(self, tokens: Ids) -> str:
        """Unknown ids decode to nothing; bytes that are not UTF-8, to the replacement character."""
        return self.tokenizer.decode(tokens.tolist(), skip_special_tokens=False)

    def bytes_per_token(self) -> Float[Tensor, " vocab_size"]:
        """Bytes that each id encodes: exact for byte-level tokenizers, else of its text after another token."""
        sizes = torch.zeros(self.vocab_size)
        by_bytes = isinstance(self.tokenizer.decoder, decoders.ByteLevel)
        for token, i in self.tokenizer.get_vocab(with_added_tokens=False).items():
            # the alphabet of byte-level tokenizers has one character for each byte
            sizes[i] = len(token) if by_bytes else self._bytes_after_another(token, i)
        for i, added in self.tokenizer.get_added_tokens_decoder().items():
            sizes[i] = len(added.content.encode())
        return sizes

    def _bytes_after_another(self, token: str, i: int) -> int:
        if len(token) == 6 and token.startswith("<0x"):  # byte fallback
            return 1
        once, twice = (self.tokenizer.decode([i] * n, skip_special_tokens=False) for n in (1, 2))
        return len(twice.encode()) - len(once.encode())


class HFTokenizer(Subwords):
    """Any tokenizer of Hugging Face, without the padding and truncation that its file may ask for.

    Args:
        name_or_path: a `tokenizer.json`, a folder that `AutoTokenizer` reads, or a name on the hub.

    Raises:
        ValueError: there is no tokenizer there.
    """

    def __init__(self, name_or_path: str | Path) -> None:
        super().__init__()
        name_or_path = absolute_or_name(name_or_path, "name_or_path")
        self.name_or_path = name_or_path
        self.tokenizer = load_pretrained(
            lambda: _load(name_or_path), "HFTokenizer", name_or_path, "a tokenizer.json, a folder or a name on the hub"
        )
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()
        self.vocab_size = 1 + max(self.tokenizer.get_vocab().values())  # ids may have gaps

    @property
    def pretrained_hash(self) -> str:
        return content_hash(self.tokenizer.to_str())

    def fit(self, media: Sequence[str]) -> None:
        """Learn nothing; prints how many of the training texts do not come back from their ids."""
        changed = [(text, back) for text in media if (back := self.decode(self.encode(text))) != text]
        if changed:
            text, back = (shown if len(shown) <= 60 else f"{shown[:60]}..." for shown in changed[0])
            number = f"{len(changed):,} of {len(media):,} texts do not come back from their ids"
            print(f"HFTokenizer: {number}, such as {text!r}, which becomes {back!r}")


def _load(name_or_path: str) -> Tokenizer:
    if Path(name_or_path).is_file():
        return Tokenizer.from_file(name_or_path)
    from transformers import AutoTokenizer  # takes seconds

    return AutoTokenizer.from_pretrained(name_or_path, trust_remote_code=False).backend_tokenizer


class BPE(Subwords):
    """Byte-level byte-pair encoding (GPT-2) that `fit` trains on the texts of the training split; lossless.

    Args:
        vocab_size: ids: the 256 bytes, then merges. A corpus too small for them leaves the last ids unused.

    Raises:
        ValueError: there are fewer ids than bytes.
    """

    def __init__(self, vocab_size: int = 512) -> None:
        super().__init__()
        require("vocab_size", vocab_size, "at least 256: every byte has an id", vocab_size >= 256)
        self.vocab_size = vocab_size
        alphabet = {letter: i for i, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
        self.tokenizer = Tokenizer(models.BPE(alphabet, []))  # bytes only, until it is fitted
        self.tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        self.tokenizer.decoder = decoders.ByteLevel()

    def fit(self, media: Sequence[str]) -> None:
        self.tokenizer.train_from_iterator(
            media,
            trainers.BpeTrainer(
                vocab_size=self.vocab_size,
                initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                show_progress=False,
            ),
        )

    def get_extra_state(self) -> UInt8[Tensor, " bytes"]:
        """The tokenizer's JSON, as bytes."""
        return torch.tensor(list(self.tokenizer.to_str().encode()), dtype=torch.uint8)

    def set_extra_state(self, state: Any) -> None:
        self.tokenizer = Tokenizer.from_str(bytes(state.tolist()).decode())
