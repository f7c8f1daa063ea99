"""Documents from the records of a source, as a config says: which columns are which modality, and in which order.

Knows records, columns and splits; reading is left to `sources/`, decoding to `columns/`.
"""

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import torch

from datamodules.columns import Column
from datamodules.columns.tokens import TokenColumn
from datamodules.documents import Medium, Split
from datamodules.interleaved import InterleavedDataModule
from datamodules.sources import Source, Tokens
from datamodules.sources.base import Encoded
from datamodules.splits import as_named, digest, divide
from mot_lightning.codecs import Codec
from mot_lightning.config.classes import find_class
from mot_lightning.config.recorded import class_spec
from mot_lightning.errors import ConfigError, say
from mot_lightning.evaluation.tasks import Task
from mot_lightning.seeds import mix
from mot_lightning.sequence import Grammar

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
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        self.forms, self.weights = _forms(documents, media)
        for name, fraction in (("val", val), ("test", test)):
            if not 0 <= fraction < 1 or val + test >= 1:
                raise ValueError(f"data.{name} is {fraction}, wanted a fraction from 0, and val + test below 1")
        if split_column is not None and split_by is not None:
            raise ValueError(f"data.split_by is {split_by!r}, wanted null: data.split_column says the splits")
        self.source, self.split_column, self.split_by = source, split_column, split_by
        self.fractions = {"val": val, "test": test}
        self.recipe = {"media": {name: class_spec(column) for name, column in media.items()},
                       "split_column": split_column, "split_by": split_by, **self.fractions}  # fmt: skip
        self.columns: dict[str, Column] = media
        if isinstance(source, Tokens):
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

    def setup(self, stage: str) -> None:
        if self.indices:
            return
        self.source.setup()
        if isinstance(self.source, Tokens):
            self.source.check_recipe(self.recipe)
            positions = np.array([*self.source.values("position")])
            named = as_named(self.source.values("split"), "split")
            self.indices = {split: records[positions[records].argsort()] for split, records in named.items()}
        elif self.split_column is not None:
            self.indices = as_named(self.source.values(self.split_column), self.split_column)
        else:
            self.indices = divide(len(self.source), self.fractions, self._groups())
        for name, column in self.columns.items():
            if not any(column.values(self.source.record(i)) for i in range(len(self.source))):
                columns = ", ".join(map(str, self.source.record(0)))
                raise ValueError(f"data.media.{name} has no {column.column!r} in any record, wanted one of {columns}")

    def _groups(self) -> list[Any] | None:
        """The cell of each record in the column that splits keep together."""
        if self.split_by is None:
            return None
        cells = [*self.source.values(self.split_by)]
        if all(cell is None for cell in cells):
            columns = ", ".join(map(str, self.source.record(0)))
            raise ValueError(f"data.split_by is {self.split_by!r}, which no record has, wanted one of {columns}")
        return cells

    def load_codecs(self, codecs: Mapping[str, Codec], fitted: Collection[str]) -> set[str]:
        if not isinstance(self.source, Tokens):
            return set()
        self.source.load_codecs(codecs, fitted)
        return {*codecs}

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
        if isinstance(self.source, Tokens):
            raise ValueError(f"data.source is Tokens, which has no media of {modality!r} to train a codec on")
        return _Decoded(self.source, self.columns[modality], self._places(split)[modality])

    def _places(self, split: Split) -> dict[str, list[tuple[int, int]]]:
        """Where the media of each modality are in a split: the record, and the number among its media. Read once."""
        if split not in self._media:
            places: dict[str, list[tuple[int, int]]] = {name: [] for name in self.columns}
            for index in map(int, self.indices[split]):
                record = self.source.record(index)
                for name, column in self.columns.items():
                    places[name] += [(index, k) for k in range(len(column.values(record)))]
            self._media[split] = places
        return self._media[split]

    def compose(self, split: Split, index: int, rng: np.random.Generator) -> list[Medium]:
        record_index = int(self.indices[split][index])
        record = self.source.record(record_index)
        in_model = self.columns if self.grammar is None else self.grammar.tokens
        values_of = {name: column.values(record) for name, column in self.columns.items() if name in in_model}
        # over the forms that the record has something of
        weights = zip(self.forms, self.weights.tolist(), strict=True)
        cumulative = [*accumulate(weight * any(map(values_of.get, form)) for form, weight in weights)]
        if not cumulative[-1]:
            raise ValueError(
                f"record {record_index} has nothing of {', '.join(values_of)}, wanted at least one of them"
            )
        form = self.forms[bisect_right(cumulative, rng.random() * cumulative[-1])]
        form = tuple(name for name in form if name in values_of)
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
                    media = partial(_load, column, media, transform_seed if transforms else None)
                key = None if transforms or encoded else (split, record_index, sampled)
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
        forms = [[name for name in form if name in in_model] for form in self.forms]
        pairs = dict.fromkeys(pair for form in forms for pair in pairwise(form) if pair[0] != pair[1])
        return [task for pair in pairs if (task := self._task(split, *pair)).prompts]

    def _task(self, split: Split, given: str, target: str) -> Task:
        prompts, references = [], []
        for index in self.indices[split][:SHOWN]:
            record = self.source.record(int(index))
            prompt, reference = self.columns[given].values(record), self.columns[target].values(record)
            if prompt and reference:
                prompts.append([(given, self.columns[given].decode(prompt[0]))])
                references.append(self.columns[target].decode(reference[0]))
        labels = [f"{split} document {i}" for i in range(len(prompts))]
        return Task(
            f"{given} -> {target}",
            prompts,
            target,
            labels,
            {},
            temperature=1.0,
            max_length=self.row_length,
            guided=True,
            references=references,
        )


class _Decoded(Sequence[Any]):
    """Media of a column that are read and decoded when they are indexed."""

    def __init__(self, source: Source, column: Column, places: list[tuple[int, int]]) -> None:
        self.source, self.column, self.places = source, column, places

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: Any) -> Any:
        record, number = self.places[index]
        return self.column.decode(self.column.values(self.source.record(record))[number])


def _load(column: Column, value: Any, transform_seed: int | None) -> Any:
    """A decoded medium, transformed with the random numbers of a seed if there is one."""
    media = column.decode(value)
    if transform_seed is None:
        return media
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(mix(transform_seed))
        return column.transform(media)


def _forms(documents: dict[str, float], media: Mapping[str, Column]) -> tuple[list[tuple[str, ...]], np.ndarray]:
    """The forms of a weight above 0, and their weights, of which the largest is 1."""
    for form, weight in documents.items():
        if not {*form.split("+")} <= media.keys() or not 0 <= weight < math.inf:
            names = ", ".join(media)
            raise ValueError(f"data.documents has {form}: {weight}, wanted some of {names} and a weight from 0")
    if not any(documents.values()):
        raise ValueError(f"data.documents is {documents}, wanted a weight above 0")
    weighted = {form: weight / max(documents.values()) for form, weight in documents.items() if weight}
    return [tuple(form.split("+")) for form in weighted], np.array([*weighted.values()])
