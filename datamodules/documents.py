"""Documents of a split: composed of media, encoded, with clean or noisy context, or cut to one segment for guidance.

Knows segments and the randomness of a document; the datamodule knows which media it has.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol, get_args

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from datamodules.sampler import SampleIndex
from datamodules.sources.base import Encoded
from datamodules.too_long import REASON, TooLong, fit
from mot_lightning.codecs import Codec
from mot_lightning.config.checked import checked
from mot_lightning.errors import BadRecord, ConfigError
from mot_lightning.seeds import mix
from mot_lightning.sequence import Grammar, InterleavedBatch, Piece, Segment, Skipped, pack

Split = Literal["train", "val", "test"]
BadRecords = Literal["fail", "skip"]
MAX_CACHED_BYTES = 2**29  # of tokens of a split that each process keeps
SPLITS: tuple[Split, ...] = get_args(Split)


class Medium(NamedTuple):
    """One piece of a document before it is encoded."""

    modality: str
    media: Any  # raw media, a function that returns them, called only to encode them, or `Encoded`
    key: Hashable = None  # media with a key, which is unique in their modality, are cached once encoded, up to 512 MiB
    weight: float = 1.0  # of the loss of its segment; 0 makes it context


class Document(list[Segment]):
    """The segments of a document, and where it is from; without segments if a medium of it cannot be used."""

    source = 0  # index of its source
    pieces: Sequence[Piece] = ()  # if it is split, in which it is packed
    skipped: Skipped | None = None


@checked("data.document_settings")
@dataclass(frozen=True)
class DocumentSettings:
    """How segments of a document are shown to the model.

    Attributes:
        clean_context: probability that the bidirectional segments of a document, except its last segment, are clean and
            have no loss.
        noise_cap: otherwise, the maximum noise level of these segments, from 0 to 1; 0.5 in Transfusion (t at most 500
            of 1000).
        condition_dropout: probability that a document is cut to one segment, for classifier-free guidance.
        unconditional_modalities: modalities of that segment; null takes all with a bidirectional objective.
    """

    clean_context: float = 0.6
    noise_cap: float = 1.0
    condition_dropout: float = 0.1
    unconditional_modalities: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        for name in ("clean_context", "noise_cap", "condition_dropout"):
            if not 0 <= (value := getattr(self, name)) <= 1:
                raise ValueError(f"data.document_settings.{name} is {value}, wanted a number from 0 to 1")


class DocumentSource(Protocol):
    """What `Documents` needs of a datamodule."""

    seed: int
    document_settings: DocumentSettings
    row_length: int
    too_long: TooLong
    bad_records: BadRecords

    @property
    def source_name(self) -> str: ...

    codecs: dict[str, Codec]
    seen_as: Mapping[str, str]

    @property
    def unconditional(self) -> tuple[str, ...]: ...

    def size(self, split: Split) -> int: ...

    def compose(self, split: Split, index: int, rng: np.random.Generator) -> list[Medium]: ...

    def encode(self, medium: Medium) -> Tensor: ...


class Documents(Dataset[Document]):
    """The encoded documents of a split; all randomness of a document is a function of its sample index."""

    def __init__(self, source: DocumentSource, split: Split, grammar: Grammar) -> None:
        self.source, self.split, self.grammar = source, split, grammar
        self.cache: dict[tuple[str, Hashable], tuple[Tensor, float]] = {}
        self.cached_bytes = 0
        self._bytes_per_token: dict[str, Tensor | None] = {}

    def __len__(self) -> int:
        return self.source.size(self.split)

    def __getitem__(self, index: SampleIndex) -> Document:
        """A document.

        Raises:
            BadRecord: a medium of it cannot be used, and `bad_records` is fail.
        """
        return self._read(index, self._encoded)

    def length(self, index: SampleIndex) -> int:
        """The slots of a document and all its pieces in packing; nothing is encoded where lengths are known before.

        Raises:
            BadRecord: as above, if that shows without encoding.
        """
        document = self._read(index, self._empty)
        return sum(self.grammar.length(piece) for piece in document.pieces) or self.grammar.length(document)

    def _read(self, index: SampleIndex, encoded: Callable[[Medium], tuple[Tensor, float]]) -> Document:
        source = self.source
        modality = ["record"]  # of what is being read
        try:
            document = self._document(index, modality, encoded)
            document.pieces = fit(document, self.grammar, source.row_length, source.too_long, modality)
            return document
        except ConfigError:
            raise
        except (ValueError, OSError) as error:
            message = f"{self.split} document {index.number}: {' '.join(str(error).split())}"
            document, reason = Document(), getattr(error, "reason", "unreadable")
            if source.bad_records == "fail" and (source.too_long, reason) != ("skip", REASON):
                raise BadRecord(message) from error
            document.skipped = Skipped(source.source_name, modality[-1], reason, message)
            return document

    def _document(
        self, index: SampleIndex, modality: list[str], encoded: Callable[[Medium], tuple[Tensor, float]]
    ) -> Document:
        settings, unconditional = self.source.document_settings, self.source.unconditional
        rng = np.random.default_rng((self.source.seed, SPLITS.index(self.split), index.number))
        composed = self.source.compose(self.split, index.item, rng)
        media = [m for m in composed if m.modality in self.grammar.tokens]
        drop, clean = rng.random(2)
        candidates = [m for m in media if m.modality in unconditional]
        if candidates and drop < settings.condition_dropout:
            media = [candidates[int(rng.integers(len(candidates)))]]
        context = {"loss": False} if clean < settings.clean_context else {"noise_cap": settings.noise_cap}
        place = self.source.seed, SPLITS.index(self.split), index.number, index.repeat
        segments = Document()
        for i, medium in enumerate(media):
            followed = i + 1 < len(media)
            if followed:  # it is read
                medium = medium._replace(modality=self.source.seen_as.get(medium.modality, medium.modality))
            modality.append(medium.modality)
            tokens, extra_bytes = encoded(medium)
            shown = context if followed and not self.grammar.causal[medium.modality] else {}
            shown = {"loss": False} if medium.modality in self.grammar.observed else shown
            segment = Segment(medium.modality, tokens, **shown, extra_bytes=extra_bytes)
            segments.append(segment._replace(weight=medium.weight, seed=mix(*place, i)))
        return segments

    def collate(self, documents: Sequence[Document]) -> InterleavedBatch:
        return packed(documents, self.grammar, self.source.row_length)

    def _encoded(self, medium: Medium) -> tuple[Tensor, float]:
        """The tokens of a medium, and its bytes that they do not encode."""
        if medium.key is None:
            return self._encode(medium)
        key = (medium.modality, medium.key)
        if key in self.cache:
            return self.cache[key]
        encoded = self._encode(medium)
        if self.cached_bytes < MAX_CACHED_BYTES:
            self.cache[key] = encoded
            self.cached_bytes += encoded[0].nbytes
        return encoded

    def _empty(self, medium: Medium) -> tuple[Tensor, float]:
        """Tokens without content (n, 0), as many as a medium has."""
        fixed = self.grammar.tokens[medium.modality].length
        if isinstance(medium.media, Encoded):
            return torch.empty(len(medium.media.array), 0), 0.0
        if fixed is not None and self.source.bad_records == "fail":  # else a medium may have to be skipped
            return torch.empty(fixed, 0), 0.0
        return self._encoded(medium)

    def _encode(self, medium: Medium) -> tuple[Tensor, float]:
        codec, media = self.source.codecs[medium.modality], medium.media
        encoded = isinstance(media, Encoded)
        tokens = media.tokens if encoded else self.source.encode(medium)
        if medium.modality not in self._bytes_per_token:
            self._bytes_per_token[medium.modality] = codec.bytes_per_token()
        if (sizes := self._bytes_per_token[medium.modality]) is None:
            return tokens, 0.0
        size = media.media_bytes if encoded else codec.media_bytes(media() if callable(media) else media)
        return tokens, size - float(sizes[tokens].sum())


def packed(documents: Sequence[Document], grammar: Grammar, row_length: int) -> InterleavedBatch:
    """Documents as a batch, those that are split as their pieces."""
    pieces: list[Sequence[list[Segment]]] = [document.pieces or [document] for document in documents]
    of = np.repeat(np.arange(len(documents)), [len(of_document) for of_document in pieces])
    batch = pack([piece for of_document in pieces for piece in of_document], grammar, row_length)
    skipped = tuple(document.skipped for document in documents if document.skipped)
    return batch._replace(skipped=skipped, pieces=of if len(of) > len(documents) else None)


class Media(Dataset[Tensor]):
    """The media of one modality in a split, unencoded, to train a codec on."""

    def __init__(self, media: Sequence[Tensor]) -> None:
        self.media = media

    def __len__(self) -> int:
        return len(self.media)

    def __getitem__(self, index: SampleIndex) -> Tensor:
        return self.media[index.item]

    def collate(self, media: list[Tensor]) -> Tensor:
        return torch.stack(media)
