"""The base of all datamodules: media -> tokens -> segments -> packed batches, in a resumable order.

Knows how documents become batches; a subclass knows what stands in a document and how to judge what a model makes.
"""

from abc import abstractmethod
from collections.abc import Hashable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from datamodules.sampler import Draw, ResumableSampler
from mot_lightning.codecs import Codec
from mot_lightning.evaluation.tasks import Task
from mot_lightning.packing import pack
from mot_lightning.sequence import Grammar, InterleavedBatch, Segment

Split = Literal["train", "val", "test"]


class Medium(NamedTuple):
    """One piece of a document before it is encoded."""

    modality: str
    media: Any  # or a function that makes it, called only when it is to be encoded
    key: Hashable = None  # media with a key are encoded once and kept


class InterleavedDataModule(LightningDataModule):
    """Documents of interleaved media, as packed batches.

    Args:
        batch_size: documents in a batch, per process.
        row_length: slots of a packed row; no document may be longer. A run may go on with another: how documents are
            packed changes no loss.
        clean_context: share of bidirectional segments that stand before others and are shown clean, without loss.
        noise_cap: the most noise (of 1) that the rest of them is shown with: Transfusion caps t at 500 of 1000.
        condition_dropout: share of documents cut to one segment alone, for classifier-free guidance.
        guided: modalities of that segment; none takes those learned in both directions.
        seed: of all that is random in the data.
        workers: processes that prepare batches.
    """

    def __init__(
        self,
        batch_size: int = 32,
        row_length: int = 256,
        clean_context: float = 0.6,
        noise_cap: float = 1.0,
        condition_dropout: float = 0.1,
        seed: int = 0,
        workers: int = 0,
        guided: tuple[str, ...] | None = None,
    ) -> None:
        super().__init__()
        if batch_size < 1:
            raise ValueError(f"data.batch_size is {batch_size}, wanted at least 1")
        if row_length < 8:
            raise ValueError(f"data.row_length is {row_length}, wanted at least 8")
        for name, share in (
            ("clean_context", clean_context),
            ("noise_cap", noise_cap),
            ("condition_dropout", condition_dropout),
        ):
            if not 0 <= share <= 1:
                raise ValueError(f"data.{name} is {share}, wanted a share from 0 to 1")
        self.batch_size, self.row_length, self.seed, self.workers = batch_size, row_length, seed, workers
        self.clean_context, self.noise_cap, self.condition_dropout = clean_context, noise_cap, condition_dropout
        self.guided = guided
        self.since = (0, 0)  # an optimizer step, and the training documents learned from by then over all ranks
        self.codecs: dict[str, Codec] = {}
        self.grammar: Grammar | None = None
        self.shown: str | None = None  # the modality whose media make the batches, where no documents do

    # what a subclass brings

    @classmethod
    def codec_settings(cls, **settings: Any) -> dict[str, dict[str, Any]]:
        """Arguments that these data settle for the codec of each modality (an image's shape, a sampling rate)."""
        return {}

    @abstractmethod
    def media(self, modality: str, split: Split) -> Sequence[Any]:
        """All media of one modality in a split: what a codec may learn from."""

    @abstractmethod
    def size(self, split: Split) -> int:
        """Items that documents of a split start from."""

    @abstractmethod
    def compose(self, split: Split, index: int, rng: np.random.Generator) -> list[Medium]:
        """One document that starts from an item; all that is random in it comes from `rng`."""

    def tasks(self, split: Split) -> list[Task]:
        """Cross-modal tasks with their judges; evaluation maps over them."""
        return []

    # what every datamodule shares

    def connect(self, codecs: dict[str, Codec], grammar: Grammar) -> None:
        """Learn how the model's modalities write: to be called before batches are asked for."""
        self.codecs, self.grammar = codecs, grammar
        for name in sorted({*(self.guided or ())} - {*grammar.names}):
            raise ValueError(f"data.guided names {name!r}, wanted some of {', '.join(grammar.names)}")

    @property
    def alone(self) -> tuple[str, ...]:
        """Modalities that are learned also without what precedes them."""
        assert self.grammar is not None
        if not self.condition_dropout:
            return ()
        shaped = tuple(name for name in self.grammar.names if not self.grammar.causal[name])
        return shaped if self.guided is None else tuple(self.guided)

    def show(self, modality: str) -> None:
        """Make batches of one modality's media as they are, stacked: what a codec is trained on."""
        self.shown = modality

    def encode(self, medium: Medium) -> Tensor:
        media = medium.media() if callable(medium.media) else medium.media
        return self.codecs[medium.modality].encode(media)

    def documents(self, split: Split) -> "Documents":
        if self.grammar is None:
            raise RuntimeError("connect(codecs, grammar) comes before batches")
        return Documents(self, split, self.grammar)

    def _items(self, split: Split) -> int:
        return len(self.media(self.shown, split)) if self.shown else self.size(split)

    def _loader(self, split: Split, sampler: Any) -> DataLoader:
        dataset: Any = Media(self, split, self.shown) if self.shown else self.documents(split)
        return DataLoader(
            dataset,
            batch_size=self.batch_size,
            sampler=sampler,
            collate_fn=dataset.together,
            num_workers=self.workers,
            pin_memory=torch.cuda.is_available(),  # or each copy to the device would wait for it
            persistent_workers=self.workers > 0,
        )

    def train_dataloader(self) -> DataLoader:
        rank, world = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        return self._loader("train", ResumableSampler(self._items("train"), self.seed, self.consumed, rank, world))

    def _whole(self, split: Split) -> DataLoader:
        rank, world = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        return self._loader(split, [Draw(i, i) for i in range(rank, self._items(split), world)])

    def val_dataloader(self) -> DataLoader:
        return self._whole("val")

    def test_dataloader(self) -> DataLoader:
        return self._whole("test")

    @property
    def consumed(self) -> int:
        """Training documents learned from so far, over all ranks: a function of the optimizer's steps alone."""
        step, consumed = self.since
        if not self.trainer:
            return consumed
        batches = (self.trainer.global_step - step) * self.trainer.accumulate_grad_batches
        return consumed + batches * self.batch_size * self.trainer.world_size

    def state_dict(self) -> dict[str, Any]:
        return {"step": self.trainer.global_step if self.trainer else 0, "consumed": self.consumed}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.since = (state_dict["step"], state_dict["consumed"])


class Media(Dataset[Tensor]):
    """The media of one modality in a split, as they are."""

    def __init__(self, data: InterleavedDataModule, split: Split, modality: str) -> None:
        self.media = data.media(modality, split)

    def __len__(self) -> int:
        return len(self.media)

    def __getitem__(self, draw: Draw) -> Tensor:
        return self.media[draw.item]

    def together(self, media: list[Tensor]) -> Tensor:
        return torch.stack(media)


class Documents(Dataset[list[Segment]]):
    """The documents of a split, encoded; what is random in one depends on its draw alone."""

    def __init__(self, data: InterleavedDataModule, split: Split, grammar: Grammar) -> None:
        self.data, self.split, self.grammar = data, split, grammar
        self.kept: dict[Hashable, Tensor] = {}

    def __len__(self) -> int:
        return self.data.size(self.split)

    def __getitem__(self, draw: Draw) -> list[Segment]:
        split = ("train", "val", "test").index(self.split)
        rng = np.random.default_rng((self.data.seed, split, draw.number))
        media = [m for m in self.data.compose(self.split, draw.item, rng) if m.modality in self.grammar.tokens]
        drop, clean = rng.random(2)
        names = self.data.alone
        alone = [m for m in media if m.modality in names]
        if alone and drop < self.data.condition_dropout:
            media = [alone[int(rng.integers(len(alone)))]]
        context = {"loss": False} if clean < self.data.clean_context else {"noise_cap": self.data.noise_cap}
        return [
            Segment(
                m.modality,
                self._tokens(m),
                **(context if i + 1 < len(media) and not self.grammar.causal[m.modality] else {}),
            )
            for i, m in enumerate(media)
        ]

    def together(self, documents: list[list[Segment]]) -> InterleavedBatch:
        return pack(documents, self.grammar, self.data.row_length)

    def _tokens(self, medium: Medium) -> Tensor:
        if medium.key is None:
            return self.data.encode(medium)
        if medium.key not in self.kept:
            self.kept[medium.key] = self.data.encode(medium)
        return self.kept[medium.key]
