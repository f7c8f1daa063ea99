"""Which of several sources gives document i: a pure function of (seed, i), exact in each block of documents.

Knows numbers of documents; no data.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from datamodules.sampler import ResumableSampler, SampleIndex

BLOCK = 256  # documents that are shuffled together
RAMP = 64  # steps in which weights change linearly


class Schedule:
    """The source of each document, and how many of the source's documents come before it.

    In each block of documents, a source has as many as the sum of its fractions says, to within one for each source;
    their order is shuffled.

    Args:
        phases: first document, weight of each source, and whether weights then change linearly.
        seed: of the shuffles.
    """

    def __init__(self, phases: Sequence[tuple[int, Sequence[float], bool]], seed: int) -> None:
        starts = [start for start, _, _ in phases]
        if starts[:1] != [0] or any(a >= b for a, b in pairwise(starts)):
            raise ValueError(f"data.curriculum starts at {starts}, wanted rising numbers from 0")
        self.seed = seed
        steps = [step for i in range(len(phases)) for step in _steps(phases, i)]
        self.starts = [start for start, _ in steps]
        self.conditional = [_conditional(weights) for _, weights in steps]
        self.before = [np.zeros(len(phases[0][1]), int)]  # documents of each source before each step
        for i, (start, end) in enumerate(pairwise(self.starts)):
            self.before.append(self.before[i] + _counts(end - start, self.conditional[i]))
        self._block = lru_cache(maxsize=4)(self._shuffled)

    def counts(self, number: int) -> np.ndarray:
        """Documents of each source among the first `number`, if that is the start of a block."""
        step = bisect_right(self.starts, number) - 1
        return self.before[step] + _counts(number - self.starts[step], self.conditional[step])

    def at(self, number: int) -> tuple[int, int]:
        """The source of a document, and how many documents of the source come before it."""
        step = bisect_right(self.starts, number) - 1
        block, offset = divmod(number - self.starts[step], BLOCK)
        sources, before = self._block(step, block)
        return int(sources[offset]), int(before[offset])

    def _shuffled(self, step: int, block: int) -> tuple[np.ndarray, np.ndarray]:
        """Of each document of a block: its source, and how many of the source's come before it."""
        start = self.starts[step] + block * BLOCK
        end = min([start + BLOCK, *self.starts[step + 1 : step + 2]])
        first = self.before[step] + _counts(start - self.starts[step], self.conditional[step])
        last = self.before[step] + _counts(end - self.starts[step], self.conditional[step])
        sources = np.repeat(np.arange(len(first)), last - first)
        np.random.default_rng((self.seed, start, 1)).shuffle(sources)
        before = np.empty(len(sources), int)
        for source, count in enumerate(first):
            of_source = sources == source
            before[of_source] = count + np.arange(of_source.sum())
        return sources, before


def _steps(phases: Sequence[tuple[int, Sequence[float], bool]], i: int) -> list[tuple[int, np.ndarray]]:
    """The first documents of the steps of a phase, in each of which fractions are constant, and these."""
    start, weights, linear = phases[i]
    fractions = np.array(weights) / sum(weights)
    if not linear or i + 1 == len(phases):
        return [(start, fractions)]
    end, after = phases[i + 1][0], np.array(phases[i + 1][1]) / sum(phases[i + 1][1])
    firsts = sorted({start + (end - start) * k // RAMP for k in range(RAMP)})
    middles = [(a + b) / 2 for a, b in zip(firsts, [*firsts[1:], end], strict=True)]
    done = [(middle - start) / (end - start) for middle in middles]
    return [(first, fractions + f * (after - fractions)) for first, f in zip(firsts, done, strict=True)]


def _conditional(fractions: np.ndarray) -> list[float]:
    """The fraction of each source among those that are not of the sources before it; 1 for the last of all."""
    rest = np.cumsum(fractions[::-1])[::-1]
    last = np.flatnonzero(fractions)[-1]
    return [1.0 if s == last else fractions[s] / rest[s] if s < last else 0.0 for s in range(len(fractions))]


def _counts(number: int, conditional: Sequence[float]) -> np.ndarray:
    """How many of the first `number` documents each source has.

    Each takes its rounded fraction of what the sources before it leave, so that no count ever falls as the number
    grows, and the counts add up to it.
    """
    counts, rest = [], number
    for fraction in conditional:
        counts.append(min(rest, math.floor(rest * fraction + 0.5)))
        rest -= counts[-1]
    return np.array(counts)


class MixedSampler(ResumableSampler):
    """The order of a mixture's training documents.

    Args:
        passes: the size and the seed of the passes of each source.
        schedule: which source gives each document.
        settings: as of `ResumableSampler`.
    """

    def __init__(self, passes: Sequence[tuple[int, int]], schedule: Schedule, seed: int, *settings: Any) -> None:
        sizes = [size for size, _ in passes]
        super().__init__(sum(sizes), seed, *settings)
        self.offsets, self.schedule = [0, *accumulate(sizes)], schedule
        self.passes = [ResumableSampler(size, seed) if size else None for size, seed in passes]

    def at(self, number: int) -> SampleIndex:
        source, before = self.schedule.at(number)
        of_source = self.passes[source]
        assert of_source is not None
        return SampleIndex(self.offsets[source] + of_source.at(before).item, number)
