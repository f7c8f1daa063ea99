"""Several data sets as one: which of them gives document i, and which of its items, is a function of (seed, i).

Knows the datamodules that it mixes; how they are weighted over time is left to `schedule.py`.
"""

import inspect
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, Literal
from zlib import crc32

import numpy as np

from datamodules.documents import Medium, Split
from datamodules.interleaved import InterleavedDataModule
from datamodules.mixture.documents import Joined, MixedDocuments, located
from datamodules.mixture.phase import Phase
from datamodules.mixture.schedule import MixedSampler, Schedule
from datamodules.sampler import ResumableSampler
from mot_lightning.codecs import Codec
from mot_lightning.config.classes import find_class
from mot_lightning.config.hints import did_you_mean
from mot_lightning.config.recorded import plain
from mot_lightning.errors import ConfigError, require
from mot_lightning.evaluation.tasks import Task
from mot_lightning.seeds import mix
from mot_lightning.sequence import Grammar

COUNTED = 64  # documents of a source whose mean length stands for all


class Mixture(InterleavedDataModule):
    """Several sources of documents, each with shuffled passes of its own, and its own policy for bad records.

    Args:
        sources: a datamodule each, such as `Records` or `Digits`. The arguments of `InterleavedDataModule` are those of
            the mixture: sources do not set them.
        weights: of each source; null takes their numbers of items.
        by: what the weights are fractions of: documents, or tokens, by the mean length of 64 documents of each source.
        temperature: weights become weights ** (1 / temperature): 1 keeps them, a large one makes them equal.
        curriculum: other weights from a number of training documents on, in place of `weights`.
        settings: as in `InterleavedDataModule`.
    """

    def __init__(
        self,
        sources: dict[str, InterleavedDataModule],
        weights: dict[str, float] | None = None,
        by: Literal["documents", "tokens"] = "documents",
        temperature: float = 1.0,
        curriculum: list[Phase] | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        require("data.sources", [*sources], "at least 1", len(sources) > 0)
        require("data.temperature", temperature, "a number above 0", temperature > 0)
        if weights is not None and curriculum is not None:
            raise ValueError("data.weights and data.curriculum are both given, wanted one of them")
        self.sources, self.by, self.temperature = sources, by, temperature
        self.phases = curriculum or (None if weights is None else [Phase(0, weights)])
        for phase in self.phases or []:
            phase.check([*sources])
        self.mean_tokens: list[float] | None = None  # of a document of each source, if the weights are of tokens
        for name, source in sources.items():
            if isinstance(source, Mixture):
                raise ValueError(f"data.sources.{name} is a Mixture, wanted its sources beside the others")
            if getattr(getattr(source, "source", None), "streamed", False):
                raise ValueError(f"data.sources.{name}.source streams, wanted one that is stored to mix it")
            source.name = name
            source.seed = mix(self.seed, crc32(name.encode()))
            source.batch_size, source.row_length, source.num_workers = self.batch_size, self.row_length, 0
            source.document_settings, source.too_long = self.document_settings, self.too_long
            source.seen_as = self.seen_as

    @classmethod
    def codec_settings(cls, sources: Mapping[str, Any] | None = None, **settings: Any) -> dict[str, dict[str, Any]]:
        """Of all sources.

        Raises:
            ConfigError: two sources need different arguments of a codec, or one sets what is the mixture's, or has no
                class.
        """
        shared: dict[str, dict[str, Any]] = {}
        origin: dict[tuple[str, str], str] = {}
        for name, spec in (sources or {}).items():
            if not isinstance(spec, Mapping) or "class_path" not in spec:
                known = did_you_mean(name, sources or {})
                raise ConfigError(f"data.sources.{name} has no class_path, wanted a data set{known}")
            kind: Any = find_class(spec["class_path"], [spec["class_path"].partition(".")[0]])  # checked before
            arguments = spec.get("init_args") or {}
            _refuse_shared(name, kind, arguments)
            for modality, of_codec in kind.codec_settings(**arguments).items():
                for key, value in of_codec.items():
                    other = origin.setdefault((modality, key), name)
                    if shared.setdefault(modality, {}).setdefault(key, value) != value:
                        raise ConfigError(
                            f"data.sources.{name} has media of {modality} with {key} {value}, wanted "
                            f"{shared[modality][key]}, as of data.sources.{other}"
                        )
        return shared

    @property
    def sources_by_name(self) -> dict[str, InterleavedDataModule]:
        return self.sources

    def prepare_data(self) -> None:
        for source in self.sources.values():
            source.prepare_data()

    def setup(self, stage: str) -> None:
        for source in self.sources.values():
            source.setup(stage)

    def check_roles(self, codecs: Mapping[str, Codec]) -> None:
        super().check_roles(codecs)
        for source in self.sources.values():
            source.check_roles(codecs)

    def load_codecs(self, codecs: Mapping[str, Codec], fitted: Collection[str]) -> set[str]:
        loaded: set[str] = set()
        for source in self.sources.values():  # those of the first are compared with the others'
            loaded |= source.load_codecs(codecs, {*fitted, *loaded})
        return loaded

    def connect(self, codecs: dict[str, Codec], grammar: Grammar) -> None:
        super().connect(codecs, grammar)
        for source in self.sources.values():
            source.connect(codecs, grammar)

    def media(self, modality: str, split: Split) -> Sequence[Any]:
        parts, refusals = [], []
        for source in self.sources.values():
            try:
                parts.append(source.media(modality, split))
            except ValueError as error:  # it has no such modality
                refusals.append(error)
        if not parts:
            raise refusals[0]
        return Joined(parts)

    def size(self, split: Split) -> int:
        return sum(source.size(split) for source in self.sources.values())

    def locate(self, split: Split, item: int) -> tuple[int, int]:
        """The index of the source that an item is of, and the item's index there."""
        return located(item, [source.size(split) for source in self.sources.values()])

    def compose(self, split: Split, index: int, rng: np.random.Generator) -> list[Medium]:
        source, item = self.locate(split, index)
        return [*self.sources.values()][source].compose(split, item, rng)

    def tasks(self, split: Split) -> list[Task]:
        return [
            replace(
                task, title=f"{task.title} ({name})", metrics={f"{name}/{m}": one for m, one in task.metrics.items()}
            )
            for name, source in self.sources.items()
            for task in source.tasks(split)
        ]

    def documents(self, split: Split) -> "MixedDocuments":
        if self.grammar is None:
            raise RuntimeError("connect(codecs, grammar) must be called before batches are loaded")
        parts = {name: source.documents(split) for name, source in self.sources.items()}
        return MixedDocuments(parts, self.grammar, self.row_length)

    @cached_property
    def schedule(self) -> Schedule:
        """Which source gives each training document."""
        sizes = {name: float(source.size("train")) for name, source in self.sources.items()}
        phases = self.phases or [Phase(0, sizes)]
        for name, size in sizes.items():
            if not size and any(phase.weights.get(name) for phase in phases):
                raise ValueError(f"the training split of data.sources.{name} holds 0 items, wanted at least 1")
        if self.by == "tokens" and self.mean_tokens is None:
            self.mean_tokens = [self._mean_tokens(source) for source in self.sources.values()]
        lengths = self.mean_tokens or [1.0] * len(sizes)

        def fractions(weights: Mapping[str, float]) -> list[float]:
            scaled = [weights.get(name, 0.0) ** (1 / self.temperature) for name in sizes]
            return [weight / length for weight, length in zip(scaled, lengths, strict=True)]

        return Schedule([(phase.start, fractions(phase.weights), phase.linear) for phase in phases], self.seed)

    def _mean_tokens(self, source: InterleavedDataModule) -> float:
        assert self.grammar is not None
        if not source.size("train"):
            return 1.0
        documents = source.documents("train")
        return float(np.mean([self.grammar.length(documents[one]) for one in source.first("train", COUNTED)]))

    def _order(self, *settings: Any) -> ResumableSampler:
        if self.codec_modality:
            return super()._order(*settings)
        sources = self.sources.values()
        passes = [(source.size("train"), source.seed) for source in sources]
        return MixedSampler(passes, self.schedule, self.seed, *settings)

    def _in_order(self, split: Split) -> Sequence[int]:
        """The sources in turn, each in its order, so that the first batches have as many documents of each."""
        if self.codec_modality:
            return super()._in_order(split)
        turns = np.concatenate([np.arange(source.size(split)) for source in self.sources.values()])
        order: list[int] = turns.argsort(kind="stable").tolist()
        return order

    def state_dict(self) -> dict[str, Any]:
        states = {name: source.state_dict() for name, source in self.sources.items()}
        return {**super().state_dict(), "sources": states, "mean_tokens": self.mean_tokens}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Raises ConfigError if the checkpoint has other sources."""
        if [*state_dict["sources"]] != [*self.sources]:
            names = ", ".join(state_dict["sources"])
            raise ConfigError(f"data.sources is {', '.join(self.sources)}, wanted the checkpoint's {names}")
        for name, source in self.sources.items():
            source.load_state_dict(state_dict["sources"][name])
        self.mean_tokens = state_dict["mean_tokens"]
        self.__dict__.pop("schedule", None)
        super().load_state_dict(state_dict)


def _refuse_shared(name: str, kind: type, arguments: Mapping[str, Any]) -> None:
    """Raises ConfigError if a source of a mixture sets an argument of `InterleavedDataModule`."""
    parameters = inspect.signature(kind).parameters
    for key in inspect.signature(InterleavedDataModule).parameters:
        if key in arguments and key in parameters and plain(arguments[key]) != plain(parameters[key].default):
            raise ConfigError(f"data.sources.{name}.{key} is set, wanted data.{key}, which is of all sources")
