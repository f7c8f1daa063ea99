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
from datamodules.documents import SPLITS, DocumentSettings, Medium, Split
from datamodules.interleaved import InterleavedDataModule
from datamodules.sources import Source, Tokens
from datamodules.sources.base import Encoded
from mot_lightning.codecs import Codec
from mot_lightning.config.classes import find_class
from mot_lightning.config.recorded import class_spec
from mot_lightning.errors import ConfigError
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
        val, test: fractions of the records in the validation and the test split.
        split_column: a column with the split of each record (train, val or test), in place of fractions.
        batch_size, row_length, document_settings, seed, num_workers: as in `InterleavedDataModule`.
    """

    def __init__(
        self,
        source: Source,
        media: dict[str, Column],
        documents: dict[str, float],
        val: float = 0.05,
        test: float = 0.05,
        split_column: str | None = None,
        batch_size: int = 32,
        row_length: int = 256,
        document_settings: DocumentSettings = DocumentSettings(),  # noqa: B008 (frozen)
        seed: int = 0,
        num_workers: int = 0,
    ) -> None:
        super().__init__(batch_size, row_length, document_settings, seed, num_workers)
        self.forms, self.weights = _forms(documents, media)
        for name, fraction in (("val", val), ("test", test)):
            if not 0 <= fraction < 1 or val + test >= 1:
                raise ValueError(f"data.{name} is {fraction}, wanted a fraction from 0, and val + test below 1")
        self.source, self.split_column = source, split_column
        self.recipe = {"media": {name: class_spec(column) for name, column in media.items()},
                       "split_column": split_column, "val": val, "test": test}  # fmt: skip
        self.columns: dict[str, Column] = media
        if isinstance(source, Tokens):
            self.columns = {name: TokenColumn(name) for name in media}
        self.fractions = {"val": val, "test": test}
        self.indices: dict[str, np.ndarray] = {}  # of the records of each split

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
        if self.split_column is None:
            self.indices = _divided(len(self.source), self.fractions)
        else:
            named = "split" if isinstance(self.source, Tokens) else self.split_column
            self.indices = _as_named(self.source, named)
        for name, column in self.columns.items():
            if not any(column.values(self.source.record(i)) for i in range(len(self.source))):
                columns = ", ".join(map(str, self.source.record(0)))
                raise ValueError(f"data.media.{name} has no {column.column!r} in any record, wanted one of {columns}")

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
        column, records = self.columns[modality], self.indices[split]
        values = [(column, value) for index in records for value in column.values(self.source.record(int(index)))]
        return _Decoded(values)

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
                media = values[sampled]
                if not isinstance(media, Encoded):
                    media = partial(_load, column, media, transform_seed if transforms else None)
                key = None if transforms or isinstance(media, Encoded) else (split, record_index, sampled)
                document.append(Medium(name, media, key))
            taken[name] += 1
        return document

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "records": len(self.source)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Raises ConfigError if the source has another number of records: they would be divided otherwise."""
        self.source.setup()
        if len(self.source) != state_dict["records"]:
            raise ConfigError(
                f"data.source has {len(self.source)} records, wanted the checkpoint's {state_dict['records']}"
            )
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
    """Media that are decoded when they are indexed."""

    def __init__(self, values: list[tuple[Column, Any]]) -> None:
        self.values = values

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: Any) -> Any:
        column, value = self.values[index]
        return column.decode(value)


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


def _divided(count: int, fractions: Mapping[str, float]) -> dict[str, np.ndarray]:
    """Indices of the records of each split: a shuffle that depends on their number only."""
    order = np.random.default_rng(0).permutation(count)
    sizes = [round(count * fraction) for fraction in fractions.values()]
    *parts, train = np.split(order, np.cumsum(sizes))
    splits = {"train": train, **dict(zip(fractions, parts, strict=True))}
    if not len(train):
        raise ValueError(f"the source has {count} records, and the splits {fractions} leave none to train on")
    return splits


def _as_named(source: Source, column: str) -> dict[str, np.ndarray]:
    indices: dict[str, list[int]] = {split: [] for split in SPLITS}
    for i, split in enumerate(source.values(column)):
        if not isinstance(split, str) or split not in indices:
            raise ValueError(f"data.split_column {column!r} holds {split!r} in record {i}, wanted train, val or test")
        indices[split].append(i)
    return {split: np.array(part, dtype=int) for split, part in indices.items()}
