"""Sampling of segments for growing sequences, in modalities that are given or chosen.

Knows contexts and control tokens; the objective of a modality samples its tokens.
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mot_lightning.generation.context import Context
from mot_lightning.generation.prefill import append_control, append_tokens, prefill, rows_of
from mot_lightning.generation.settings import GenerationSettings
from mot_lightning.model import MixtureOfTransformers
from mot_lightning.objectives.base import Request
from mot_lightning.sequence import Ids, Segment

# called with (index of the prompt, modality, id or None at the end) for ids that are sampled one by one
Progress = Callable[[int, str, int | None], Any]


class Choice(NamedTuple):
    """The next segment: its modality, and its length unless a stop id ends it."""

    name: str
    length: int | None


class Sampler:
    """Samples the next segments of sequences.

    Args:
        generators: of each sequence.
        progress: called for ids that are sampled one by one.
        negative_prompt: what guidance leads away from, in place of an empty document.
    """

    def __init__(
        self,
        model: MixtureOfTransformers,
        settings: GenerationSettings,
        generators: Sequence[torch.Generator],
        progress: Progress | None = None,
        negative_prompt: Sequence[Segment] = (),
    ) -> None:
        self.model, self.settings, self.generators, self.progress = model, settings, generators, progress
        self.negative_prompt = negative_prompt

    @cached_property
    def unconditional(self) -> Context:
        """One sequence without a prompt, or with the negative one."""
        return prefill(self.model, [self.negative_prompt])

    def __call__(
        self, context: Context, opened: Sequence[Segment] = (), more_follow: bool = False
    ) -> list[list[Segment]]:
        """The new segments of each sequence.

        Args:
            context: grows, but may lack the last segment.
            opened: the last segment of each sequence, if its end token is missing; the first new segment continues it.
            more_follow: whether a context of one sequence is to hold the last segment too.
        """
        settings = self.settings
        continuations: list[list[Segment]] = [[] for _ in self.generators]
        active = list(range(len(self.generators)))  # index of the prompt of each sequence in the context
        rounds = len(settings.modalities) or settings.max_segments
        for i in range(rounds):
            forced = settings.modalities[i] if settings.modalities else None
            choices: list[Choice | None]
            if opened and i == 0:
                choices = [Choice(segment.modality, None) for segment in opened]
            else:
                choices = self._choose(context.last, [self.generators[number] for number in active], forced)
            unfinished = [row for row, choice in enumerate(choices) if choice is not None]
            if len(unfinished) < len(active):
                context, active = context[unfinished], [active[row] for row in unfinished]
                choices = [choices[row] for row in unfinished]
            for choice in sorted({choice for choice in choices if choice is not None}, key=str):
                rows = [row for row, other in enumerate(choices) if other == choice]
                numbers = [active[row] for row in rows]
                prefixes = [opened[number].tokens for number in numbers] if opened and i == 0 else []
                with rows_of(context, rows) as part:
                    sampled = self._sample_segment(part, choice, numbers, prefixes, more_follow or i + 1 < rounds)
                for number, tokens in zip(numbers, sampled, strict=True):
                    continuations[number].append(Segment(choice.name, tokens))
            if not active:
                break
        return continuations

    def _choose(self, hidden: Tensor, generators: list[torch.Generator], forced: str | None) -> list[Choice | None]:
        """The next segment of each sequence, from the hidden state (r, d) of its last token; None ends it."""
        grammar, settings = self.model.grammar, self.settings
        choices: dict[int, Choice | None] = {} if forced else {grammar.end_of_document: None}
        for name in (forced,) if forced else grammar.predicted:
            known_length = settings.lengths.get(name, grammar.tokens[name].length)
            # a forced segment of known length has one candidate: the begin token of that length
            ids = grammar.begins[name] if not (forced and known_length) else [grammar.begin_of(name, known_length)]
            for id, length in zip(ids, grammar.sizes[name] or [None] * len(ids), strict=False):
                choices[id] = Choice(name, known_length or length)
        if len(choices) == 1:
            return [*choices.values()] * len(generators)
        request = Request(
            generators,
            temperature=settings.temperature,
            top_k=settings.top_k,
            top_p=settings.top_p,
            min_p=settings.min_p,
        )
        candidates = torch.tensor(list(choices), device=hidden.device)
        return [choices[id] for id in self.model.control.choose(hidden, candidates, request).tolist()]

    def _sample_segment(
        self, context: Context, choice: Choice, numbers: list[int], prefixes: Sequence[Ids], more_follow: bool
    ) -> list[Tensor]:
        """Sample one segment for each sequence; append it and its control tokens to the context if more follow.

        Args:
            numbers: of the sequences.
            prefixes: ids of the segment that each sequence has already; empty if the segment begins here.
        """
        model, settings, progress, name = self.model, self.settings, self.progress, choice.name
        grammar = model.grammar
        causal, scale = grammar.causal[name], settings.scale(name, grammar.causal[name])
        begin = grammar.begin_of(name, choice.length or 0)
        prefixes = [ids.to(context.last.device) for ids in prefixes]
        request = Request(
            [self.generators[number] for number in numbers],
            length=choice.length,
            stop=grammar.stop(name),
            max_length=settings.max_length,
            temperature=settings.temperature,
            top_k=settings.top_k,
            top_p=settings.top_p,
            min_p=settings.min_p,
            repetition_penalty=settings.repetition_penalty,
            prefixes=prefixes,
            guidance=scale,
            progress=progress
            and (lambda ids: [progress(number, name, id) for number, id in zip(numbers, ids, strict=True)]),
        )
        contexts = context
        if scale != 1:  # conditional, then unconditional sequences
            unconditional = self.unconditional[[0] * len(numbers)]
            if prefixes:
                append_control(model, unconditional, begin)
                append_tokens(model, unconditional, name, prefixes)
            contexts = context + unconditional
        if not prefixes:
            append_control(model, contexts, begin)
        tokens = model.objectives[name].sample(contexts.for_modality(name, causal), request)
        if more_follow:
            if contexts is not context:
                context[range(len(numbers))] = contexts[range(len(numbers))]
            if not causal:
                append_tokens(model, context, name, tokens)
            append_control(model, context, grammar.end[name])
        return tokens
