"""Documents from the records of a source, as a config says: which columns are which modality, and in which order.

Knows records, columns and splits; reading is left to `sources/`, decoding to `columns/`.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from datamodules.columns import Column
from datamodules.documents import SPLITS, BadRecords, Medium, Split
from datamodules.interleaved import InterleavedDataModule
from datamodules.sources import Source
from mot_lightning.config.classes import find_class
from mot_lightning.errors import BadMedia, ConfigError, require
from mot_lightning.evaluation.tasks import Task
from mot_lightning.seeds import mix

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
        bad_records: BadRecords = "fail",
        max_bad_fraction: float = 0.05,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        self.forms, self.weights = _forms(documents, media)
        for name, fraction in (("val", val), ("test", test)):
            if not 0 <= fraction < 1 or val + test >= 1:
                raise ValueError(f"data.{name} is {fraction}, wanted a fraction from 0, and val + test below 1")
        require("data.max_bad_fraction", max_bad_fraction, "a fraction from 0 to 1", 0 <= max_bad_fraction <= 1)
        self.source, self.columns, self.split_column = source, media, split_column
        self.bad_records, self.max_bad_fraction = bad_records, max_bad_fraction
        self.source.skips_bad = bad_records == "skip"
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
        if self.split_column is None:
            self.indices = _divided(len(self.source), self.fractions)
        else:
            self.indices = _as_named(self.source, self.split_column)
        for name, column in self.columns.items():
            if not any(self._values(column, i) for i in range(len(self.source))):
                columns = ", ".join(map(str, self.source.record(0)))
                raise ValueError(f"data.media.{name} has no {column.column!r} in any record, wanted one of {columns}")

    def _values(self, column: Column, index: int) -> list[Any]:
        """The values of a column in a record; none if it cannot be read and bad records are skipped."""
        try:
            return column.values(self.source.record(index))
        except ValueError:
            if self.bad_records == "fail":
                raise
            return []

    def size(self, split: Split) -> int:
        return len(self.indices[split])

    def media(self, modality: str, split: Split) -> Sequence[Any]:
        if modality not in self.columns:
            raise ValueError(f"data.media has no {modality!r}, wanted one of {', '.join(self.columns)}")
        column, records = self.columns[modality], self.indices[split]
        values = [(column, value) for index in records for value in self._values(column, int(index))]
        return _Decoded(values, self.bad_records == "skip")

    def compose(self, split: Split, index: int, rng: np.random.Generator) -> list[Medium]:
        record_index = int(self.indices[split][index])
        record = self.source.record(record_index)
        in_model = self.columns if self.grammar is None else self.grammar.tokens
        values_of = {name: column.values(record) for name, column in self.columns.items() if name in in_model}
        # of forms that the record has something of
        weights = self.weights * [any(values_of.get(name) for name in form) for form in self.forms]
        if not weights.any():
            names = ", ".join(values_of)
            raise BadMedia(f"record {record_index} has nothing of {names}, wanted at least one of them", "nothing")
        cumulative = np.cumsum(weights)
        form = self.forms[int(np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right"))]
        form = tuple(name for name in form if name in values_of)
        document, taken, times = [], Counter[str](), Counter(form)
        for name in form:
            column, values = self.columns[name], values_of[name]
            sampled = int(rng.integers(len(values))) if times[name] == 1 and values else taken[name]
            transform_seed = int(rng.integers(2**32))
            if sampled < len(values):
                transforms = bool(column.transforms) and split == "train"
                load = partial(_load, column, values[sampled], transform_seed if transforms else None)
                key = None if transforms else (split, record_index, sampled)
                document.append(Medium(name, load, key))
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
            values = [self._values(self.columns[name], int(index)) for name in (given, target)]
            try:
                prompt, reference = (
                    self.columns[n].decode(of[0]) for n, of in zip((given, target), values, strict=True)
                )
            except IndexError:  # it lacks one of the two
                continue
            except ValueError:
                if self.bad_records == "fail":
                    raise
                continue
            prompts.append([(given, prompt)])
            references.append(reference)
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
    """Media that are decoded when they are indexed; in place of a bad one that is skipped, the next good one."""

    def __init__(self, values: list[tuple[Column, Any]], skips: bool) -> None:
        self.values, self.skips = values, skips

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: Any) -> Any:
        for column, value in self.values[index:] + self.values[:index] if self.skips else [self.values[index]]:
            try:
                return column.decode(value)
            except ValueError as error:
                bad = error
        raise bad


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
    for i in range(len(source)):
        split = source.record(i).get(column)
        if not isinstance(split, str) or split not in indices:
            raise ValueError(f"data.split_column {column!r} holds {split!r} in record {i}, wanted train, val or test")
        indices[split].append(i)
    return {split: np.array(part, dtype=int) for split, part in indices.items()}
