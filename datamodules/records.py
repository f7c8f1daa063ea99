"""Documents from the records of a source, as a config says: which columns are which modality, and in which order.

Knows records, columns and splits; reading is left to `sources/`, decoding to `columns/`.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np

from datamodules.columns import Column
from datamodules.columns.tokens import TokenColumn
from datamodules.documents import BadRecords, Medium, Split
from datamodules.forms import Forms
from datamodules.interleaved import InterleavedDataModule
from datamodules.record_media import Decoded, load
from datamodules.sampler import ResumableSampler
from datamodules.sources import Source
from datamodules.sources.base import Encoded, Spread
from datamodules.splits import as_named, digest, divide
from datamodules.streaming import StreamOrder, check_streamed
from mot_lightning.codecs import Codec
from mot_lightning.config.classes import find_class
from mot_lightning.config.recorded import class_spec
from mot_lightning.errors import BadMedia, ConfigError, require, say
from mot_lightning.evaluation.tasks import Task
from mot_lightning.sequence import Grammar, Segment

SHOWN = 20  # documents of a split that tasks continue


class Records(InterleavedDataModule):
    """Any corpus of texts, images and sounds.

    Args:
        source: where the records come from.
        media: the column of each modality.
        documents: sampling weight of each form of a document: its modalities in order, such as "text+image". Where a
            modality comes once and a record has several media of it, one is sampled; where it comes k times, the first
            k are taken in turn. What a record lacks is left out.
        val, test: fractions of the records in the validation and the test split, about. Each has one at least if there
            are enough. Records that are added after the others change no split of these.
        split_column: a column with the split of each record (train, val or test), in place of fractions.
        split_by: a column: records that agree in it are in one split, such as all of a speaker.
        bad_records: what becomes of a document of which a medium cannot be used: "fail" ends the run and names the file
            or the record, "skip" leaves the document out of its batch and counts it by source, modality and reason.
        max_bad_fraction: skipped documents of those seen, at least 100, beyond which the run ends.
        settings: as in `InterleavedDataModule`.
    """

    def __init__(
        self,
        source: Source,
        media: dict[str, Column],
        documents: dict[str, float],
        val: float = 0.05,
        test: float = 0.05,
        split_column: str | None = None,
        split_by: str | None = None,
        bad_records: BadRecords = "fail",
        max_bad_fraction: float = 0.05,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        self.forms = Forms(documents, media.keys())
        for name, fraction in (("val", val), ("test", test)):
            if not 0 <= fraction < 1 or val + test >= 1:
                raise ValueError(f"data.{name} is {fraction}, wanted a fraction from 0, and val + test below 1")
        if split_column is not None and split_by is not None:
            raise ValueError(f"data.split_by is {split_by!r}, wanted null: data.split_column says the splits")
        require("data.max_bad_fraction", max_bad_fraction, "a fraction from 0 to 1", 0 <= max_bad_fraction <= 1)
        if source.streamed:
            check_streamed(source, split_column, split_by, self.tokens)
        self.source, self.split_column, self.split_by = source, split_column, split_by
        self.bad_records, self.max_bad_fraction = bad_records, max_bad_fraction
        self.source.skips_bad = bad_records == "skip"
        self.fractions = {"val": val, "test": test}
        self.recipe = {"media": {name: class_spec(column) for name, column in media.items()},
                       "split_column": split_column, "split_by": split_by, **self.fractions}  # fmt: skip
        self.columns: dict[str, Column] = media
        if source.encoded:
            self.columns = {name: TokenColumn(name) for name in media}
        self.indices: dict[str, np.ndarray] = {}  # of the records of each split
        self._media: dict[str, dict[str, list[tuple[int, int]]]] = {}

    @classmethod
    def codec_settings(cls, media: Mapping[str, Any] | None = None, **settings: Any) -> dict[str, dict[str, Any]]:
        arguments = {}
        for name, spec in (media or {}).items():
            path = spec["class_path"]
            kind: Any = find_class(path, [path.partition(".")[0]])  # the config was checked before
            arguments[name] = kind.codec_settings(**(spec.get("init_args") or {}))
        return arguments

    @property
    def encoded(self) -> bool:  # type: ignore[override]
        return self.source.encoded

    def setup(self, stage: str) -> None:
        if self.indices:
            return
        self.source.setup()
        if placed := self.source.placed(self.recipe):
            positions, named = np.array([*placed[1]]), as_named(placed[0], "split")
            self.indices = {split: records[positions[records].argsort()] for split, records in named.items()}
        elif self.split_column is not None:
            self.indices = as_named(self._cells("split_column", self.split_column), self.split_column)
        else:
            groups = None if self.split_by is None else self._cells("split_by", self.split_by)
            self.indices = divide(len(self.source), self.fractions, groups)
        for name, column in self.columns.items():
            if not any(self._values(i, name)[name] for i in range(len(self.source))):
                columns = ", ".join(map(str, self.source.record(0)))
                raise ValueError(f"data.media.{name} has no {column.column!r} in any record, wanted one of {columns}")

    def _cells(self, setting: str, column: str) -> list[Any]:
        """The cell of each record in a column that a setting names."""
        cells = [*self.source.values(column)]
        if all(cell is None for cell in cells):
            columns = ", ".join(map(str, self.source.record(0)))
            raise ValueError(f"data.{setting} is {column!r}, which no record has, wanted one of {columns}")
        return cells

    def _values(self, index: int, *names: str) -> dict[str, Sequence[Any]]:
        """What a record has of some modalities, or of all; nothing where it is bad and bad records are skipped."""
        values: dict[str, Sequence[Any]] = dict.fromkeys(names or self.columns, ())
        skipped = (ValueError,) if self.bad_records == "skip" else ()
        with suppress(*skipped):
            record = self.source.record(index)
            for name in values:
                with suppress(*skipped):  # of this column alone
                    values[name] = self.columns[name].values(record)
        return values

    def load_codecs(self, codecs: Mapping[str, Codec], fitted: Collection[str]) -> set[str]:
        return self.source.load_codecs({name: codec for name, codec in codecs.items() if name in self.columns}, fitted)

    def connect(self, codecs: dict[str, Codec], grammar: Grammar) -> None:
        super().connect(codecs, grammar)
        self.load_codecs(codecs, codecs)  # compares them: those of a checkpoint are not fitted
        for name, column in self.columns.items():
            if isinstance(column, TokenColumn) and name in codecs:
                column.codec = codecs[name]

    def size(self, split: Split) -> int:
        return len(self.indices[split])

    def media(self, modality: str, split: Split) -> Sequence[Any]:
        if modality not in self.columns:
            raise ValueError(f"data.media has no {modality!r}, wanted one of {', '.join(self.columns)}")
        if self.source.encoded:
            raise ValueError(
                f"data.source is {type(self.source).__name__}, which has no media of {modality!r} to train a codec on"
            )
        places = self._places(split)[modality]
        return Decoded(self.source, self.columns[modality], places, self.bad_records == "skip")

    def _places(self, split: Split) -> dict[str, list[tuple[int, int]]]:
        """Where the media of each modality are in a split: the record, and the number among its media. Read once."""
        if split not in self._media:
            places: dict[str, list[tuple[int, int]]] = {name: [] for name in self.columns}
            for index in map(int, self.indices[split]):
                for name, values in self._values(index).items():
                    places[name] += [(index, k) for k in range(len(values))]
            self._media[split] = places
        return self._media[split]

    def _order(self, *settings: Any) -> ResumableSampler:
        if self.source.streamed and not self.codec_modality:
            return StreamOrder(len(self.source), self.seed, *settings)
        return super()._order(*settings)

    @property
    def _spread(self) -> Spread:
        return Spread(self.seed, self._rank[1], max(1, self.num_workers), self.batch_size)

    def compose(self, split: Split, index: int, rng: np.random.Generator) -> list[Medium]:
        streamed = self.source.streamed and split == "train"
        if streamed:
            record_index, record = index, self.source.streamed_record(index, self._spread)
        else:
            record_index = int(self.indices[split][index])
            record = self.source.record(record_index)
        in_model = self.columns if self.grammar is None else self.grammar.tokens
        values_of = {name: column.values(record) for name, column in self.columns.items() if name in in_model}
        if (form := self.forms.sample(values_of, rng)) is None:
            names = ", ".join(values_of)
            raise BadMedia(f"record {record_index} has nothing of {names}, wanted at least one of them", "nothing")
        document, taken, times = [], Counter[str](), Counter(form)
        for name in form:
            column, values = self.columns[name], values_of[name]
            sampled = int(rng.integers(len(values))) if times[name] == 1 and values else taken[name]
            transform_seed = int(rng.integers(2**32))
            if sampled < len(values):
                transforms = bool(column.transforms) and split == "train"
                media, weight = values[sampled], column.weights(record, len(values))[sampled]
                encoded = isinstance(media, Encoded)
                if not encoded:
                    media = partial(load, column, media, transform_seed if transforms else None)
                key = None if transforms or encoded or streamed else (split, record_index, sampled)
                document.append(Medium(name, media, key, weight))
            taken[name] += 1
        return document

    def state_dict(self) -> dict[str, Any]:
        count = len(self.source)
        return {**super().state_dict(), "records": count, "splits": digest(self.indices, count)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Raises ConfigError if the source has fewer records than the checkpoint's, or these are in other splits."""
        self.setup("fit")
        before, count = state_dict["records"], len(self.source)
        if count < before:
            raise ConfigError(f"data.source has {count} records, wanted the checkpoint's {before}, or more")
        if digest(self.indices, before) != state_dict["splits"]:
            raise ConfigError(
                f"data.source has its first {before} records in other splits than the checkpoint, wanted the same"
            )
        if count > before:
            say(f"data.source has {count:,} records, {before:,} in the checkpoint: all are shuffled anew")
        super().load_state_dict(state_dict)

    def tasks(self, split: Split) -> list[Task]:
        """Each modality from the one before it in a document, to look at beside the real one; nothing is measured."""
        in_model = self.columns if self.grammar is None else self.grammar.tokens
        pairs = self.forms.neighbours(in_model.keys())
        hidden = {name for name, codec in self.codecs.items() if self.encoded and not codec.decodable}
        return [task for pair in pairs if not hidden & {*pair} and (task := self._task(split, *pair)).prompts]

    def _task(self, split: Split, given: str, target: str) -> Task:
        prompts, references = [], []
        for index in map(int, self.indices[split][:SHOWN]):
            values = self._values(index, given, target)
            if not all(map(len, values.values())):
                continue
            try:
                prompt, reference = (self.columns[name].decode(of_record[0]) for name, of_record in values.items())
                if self.too_long != "refuse" and not self._fits(Medium(self.seen_as.get(given, given), prompt)):
                    continue
            except ValueError:
                if self.bad_records == "fail":
                    raise
                continue
            prompts.append([(given, prompt)])
            references.append(reference)
        labels = [f"{split} document {i}" for i in range(len(prompts))]
        options: dict[str, Any] = {"temperature": 1.0, "max_length": self.row_length, "guided": True}
        return Task(f"{given} -> {target}", prompts, target, labels, {}, references=references, **options)

    def _fits(self, medium: Medium) -> bool:
        """Whether a document of one medium fits a row, once the data are connected to codecs."""
        if self.grammar is None:
            return True
        return self.grammar.length([Segment(medium.modality, self.encode(medium))]) <= self.row_length
