"""The base of all datamodules: media -> tokens -> segments -> packed batches, in a resumable order.

Knows how documents become batches; a subclass knows the media of a document and the tasks that measure a model.
"""

from abc import abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader

from datamodules.documents import BadRecords, Documents, DocumentSettings, Medium, Split
from datamodules.loaders import loader
from datamodules.progress import Progress
from datamodules.run_counts import line
from datamodules.sampler import OrderedSampler, RepeatingSampler, ResumableSampler, SampleIndex
from datamodules.seen_as import MediaRoles, check_seen_as
from datamodules.token_batches import say_which_are_encoded
from datamodules.token_runs import first_that_fit
from datamodules.too_long import TooLong
from mot_lightning.codecs import Codec
from mot_lightning.errors import require
from mot_lightning.evaluation.tasks import Task
from mot_lightning.generation.checks import PREDICTABLE
from mot_lightning.sequence import Grammar

__all__ = ["InterleavedDataModule", "Medium", "Split"]

MOST_TOKENS = 10_000_000  # of a batch: more would be counted for hours before memory runs out


class InterleavedDataModule(MediaRoles, LightningDataModule):
    """Documents of interleaved media, as packed batches.

    Args:
        batch_size: documents in a batch, per process; with `tokens`, media in a batch that a codec is trained on.
        row_length: slots of a packed row. A resumed run may use another: packing does not change the loss. Rows three
            times as long as the longest document leave few slots empty, which only masked attention computes.
        document_settings: how segments are shown to the model.
        seed: seed of all randomness of the data.
        num_workers: worker processes of each data loader.
        too_long: what becomes of a document that is longer than a row: "refuse" ends the run, "skip" leaves it out and
            counts it, "split" makes pieces, which do not see each other: of text, as images stay whole.
        tokens: of a batch, per process, on average over all: it has as many documents as fit, in place of `batch_size`.
        seen_as: the modality of a medium that is read, by its own: {image: view} gives an image that other segments of
            its document follow to `view`, whose codec encodes it. The last segment of a document is its own.

    Attributes:
        bad_records, max_bad_fraction: as in `Records`.
    """

    setting = "data"
    encoded = False  # whether the media of documents are tokens already
    bad_records: BadRecords = "fail"
    max_bad_fraction: float = 0.05

    def __init__(
        self,
        batch_size: int = 32,
        row_length: int = 256,
        document_settings: DocumentSettings = DocumentSettings(),  # noqa: B008 (frozen)
        seed: int = 0,
        num_workers: int = 0,
        too_long: TooLong = "refuse",
        tokens: int | None = None,
        seen_as: dict[str, str] | None = None,
    ) -> None:
        super().__init__()
        for method in ("media", "size", "compose"):  # LightningDataModule is not abstract
            if getattr(getattr(type(self), method), "__isabstractmethod__", False):
                raise TypeError(f"data is {type(self).__name__}, wanted a class that defines {method}()")
        require("data.batch_size", batch_size, "at least 1", batch_size >= 1)
        require("data.row_length", row_length, "at least 8", row_length >= 8)
        require("data.num_workers", num_workers, "0 or more", num_workers >= 0)
        fits = tokens is None or row_length <= tokens <= MOST_TOKENS
        require("data.tokens", tokens, f"at least data.row_length, {row_length}, and at most {MOST_TOKENS:,}", fits)
        self.batch_size, self.row_length, self.document_settings = batch_size, row_length, document_settings
        self.seed, self.num_workers, self.too_long, self.tokens = seed, num_workers, too_long, tokens
        self.seen_as = check_seen_as(seen_as or {})
        self.progress = Progress()
        self.name = ""  # in a mixture
        self.codecs: dict[str, Codec] = {}
        self.grammar: Grammar | None = None
        self.codec_modality: str | None = None  # if set, batches are media of this modality instead of documents

    # defined by subclasses

    @classmethod
    def codec_settings(cls, **settings: Any) -> dict[str, dict[str, Any]]:
        """Codec arguments that follow from the data (image shape, sample rate), by modality."""
        return {}

    @abstractmethod
    def media(self, modality: str, split: Split) -> Sequence[Any]:
        """All media of one modality in a split, for codecs to learn from."""

    @abstractmethod
    def size(self, split: Split) -> int:
        """The number of items of a split, each of which starts a document."""

    @abstractmethod
    def compose(self, split: Split, index: int, rng: np.random.Generator) -> list[Medium]:
        """The media of one document that starts from an item; all its randomness comes from `rng`."""

    def tasks(self, split: Split) -> list[Task]:
        """Cross-modal tasks with their metrics, for evaluation."""
        return []

    # shared by all datamodules

    @property
    def source_name(self) -> str:  # under which documents are counted
        return self.name or type(self).__name__

    @property
    def sources_by_name(self) -> "dict[str, InterleavedDataModule]":
        """The datamodules whose documents these are."""
        return {self.source_name: self}

    def connect(self, codecs: dict[str, Codec], grammar: Grammar) -> None:
        """Set the codecs and the grammar of a model; to be called before any batch is loaded."""
        self.check_roles(codecs)
        self.codecs, self.grammar = codecs, grammar
        for name in sorted({*(self.document_settings.unconditional_modalities or ())} - {*grammar.predicted}):
            names = ", ".join(grammar.predicted)
            raise ValueError(f"data.document_settings.unconditional_modalities names {name!r}, wanted some of {names}")

    @property
    def unconditional(self) -> tuple[str, ...]:
        """Modalities that are also trained unconditionally, for classifier-free guidance."""
        assert self.grammar is not None
        if not self.document_settings.condition_dropout:
            return ()
        bidirectional = tuple(name for name in self.grammar.predicted if not self.grammar.causal[name])
        named = self.document_settings.unconditional_modalities
        return bidirectional if named is None else tuple(named)

    def load_codecs(self, codecs: Mapping[str, Codec], fitted: Collection[str]) -> set[str]:
        """Load what codecs learned where it comes with the data, encoded already; returns the names of these codecs.

        Args:
            codecs: of all modalities.
            fitted: names of those that are not to be changed.

        Raises:
            ValueError: the data are encoded by other codecs.
        """
        return set()

    def train_codec_on(self, modality: str) -> None:
        """Load batches of stacked media of one modality from now on, to train its codec."""
        self.codec_modality = modality

    def encode(self, medium: Medium) -> Tensor:
        media = medium.media() if callable(medium.media) else medium.media
        return self.codecs[medium.modality].encode(media)

    def documents(self, split: Split) -> Any:
        """The documents of a split, a torch Dataset."""
        if self.grammar is None:
            raise RuntimeError("connect(codecs, grammar) must be called before batches are loaded")
        return Documents(self, split, self.grammar)

    def first(self, split: Split, count: int) -> Iterator[SampleIndex]:
        """The indices of the first documents of a run, for `documents`."""
        sampler = self._order() if split == "train" else OrderedSampler(self._in_order(split))
        return islice(iter(sampler), count)

    def _order(self, *settings: Any) -> ResumableSampler:
        """The order of training documents; the settings are those of the sampler after its seed."""
        return ResumableSampler(self._items("train"), self.seed, *settings)

    def _items(self, split: Split) -> int:
        return len(self.media(self.codec_modality, split)) if self.codec_modality else self.size(split)

    def batch_sizes(self, lengths: Sequence[int]) -> list[int]:
        """How many of the first documents each training batch of one process has, by their lengths."""
        sizes, left = [], [*lengths]
        while left:
            fit = left[: self.batch_size] if self.tokens is None else first_that_fit(left, self.tokens)
            sizes.append(len(fit))
            del left[: len(fit)]
        return sizes

    def _loader(self, split: Split, order: Any) -> DataLoader[Any]:
        return loader(self, split, order)

    def train_dataloader(self) -> DataLoader[Any]:
        trainer: Any = self.trainer
        if trainer and not trainer.fit_loop.epoch_loop.batch_progress.total.ready:  # another fit
            self.progress = Progress(self.progress.resumed_at)
        order: Any = self._order(lambda: self.consumed, *self._rank)
        if overfit_batches := getattr(self.trainer, "overfit_batches", 0):
            order = RepeatingSampler(order, int(overfit_batches), self.batch_size)
        if self.tokens is not None and not self.codec_modality and self._rank[0] == 0:
            say_which_are_encoded(self.sources_by_name)
        return self._loader("train", order)

    @property
    def _rank(self) -> tuple[int, int]:
        """Number of this process, and of all processes."""
        trainer: Any = self.trainer
        if trainer and trainer.world_size > 1 and trainer._accelerator_connector.use_distributed_sampler:
            raise ValueError("Trainer.use_distributed_sampler is True, wanted False: the data are shared among ranks")
        return (trainer.global_rank, trainer.world_size) if trainer else (0, 1)

    def _in_order(self, split: Split) -> Sequence[int]:
        """The order in which the items of a split are evaluated, each once."""
        return range(self._items(split))

    def val_dataloader(self) -> DataLoader[Any]:
        return self._loader("val", OrderedSampler(self._in_order("val"), *self._rank))

    def test_dataloader(self) -> DataLoader[Any]:
        return self._loader("test", OrderedSampler(self._in_order("test"), *self._rank))

    def predict_dataloader(self) -> DataLoader[Any]:
        raise TypeError(f"trainer.predict has a datamodule of type {type(self).__name__}, wanted {PREDICTABLE}")

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Counts training batches, and those before the current optimizer step."""
        trainer: Any = self.trainer
        if trainer and trainer.training:
            step = getattr(batch, "step", None)  # None of media to train a codec
            documents = step.over_ranks if step else self.batch_size * trainer.world_size
            self.progress.begin_batch(trainer.global_step, documents)
        if trainer and self._counts_documents and not self.codec_modality:
            stage = "train" if trainer.training else "test" if trainer.testing else "val"
            self.progress.counts.stages[stage].add(batch, self.source_name)
        return batch

    @property
    def _counts_documents(self) -> bool:
        several, by_length = len(of := self.sources_by_name) > 1, self.too_long != "refuse"
        return several or by_length or any(one.bad_records == "skip" for one in of.values())

    def metrics(self, stage: Split) -> dict[str, float]:
        """As `RunCounts.metrics`; all ranks call this together."""
        return self.progress.counts.metrics(stage, self.sources_by_name) if self._counts_documents else {}

    def skipped_line(self) -> str:
        """Of training, or ""; all ranks call this together."""
        return line(self.progress.counts.train()) if self._counts_documents else ""

    @property
    def consumed(self) -> int:
        """Training documents consumed by finished optimizer steps, over all ranks."""
        return self.progress.consumed(self.trainer)

    def state_dict(self) -> dict[str, Any]:
        return self.progress.state(self.trainer, self._counts_documents)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.progress = Progress.of_state(state_dict)
