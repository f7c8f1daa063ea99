"""Generation: from prompts to continuations, segment by segment, in modalities that are given or chosen.

Knows documents and contexts; the objective of a modality samples its segments.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mot_lightning.generation.context import Context
from mot_lightning.generation.cpu_linear import repacked_weights
from mot_lightning.generation.prefill import append_control, append_tokens, prefill, rows_of
from mot_lightning.generation.settings import GenerationSettings
from mot_lightning.model import MixtureOfTransformers
from mot_lightning.objectives.base import Request
from mot_lightning.seeds import generator_for
from mot_lightning.sequence import Segment


class Choice(NamedTuple):
    """The next segment: its modality, and its length unless a stop id ends it."""

    name: str
    length: int | None


# called with (index of the prompt, modality, id or None at the end) for ids that are sampled one by one
Progress = Callable[[int, str, int | None], Any]


def generate(
    model: MixtureOfTransformers,
    prompts: Sequence[Sequence[Segment]],
    settings: GenerationSettings,
    samples: Sequence[int] | None = None,
    progress: Progress | None = None,
) -> list[list[Segment]]:
    """Continue each prompt; returns the new segments only.

    Args:
        samples: sample number of each prompt, by default 0, 1, 2, ...; with `settings.seed`, it seeds the sampling.
        progress: called for ids that are sampled one by one.
    """
    grammar = model.grammar
    settings.check(grammar)
    for prompt in prompts:
        for segment in prompt:
            grammar.check(segment)
    if not prompts:
        return []
    device = next(model.parameters()).device
    numbers = range(len(prompts)) if samples is None else samples
    generators = [generator_for(settings.seed, number, device=device) for number in numbers]
    # a compiled region would be recompiled for each layer with repacked weights
    weights = nullcontext() if model.backbone.settings.compile else repacked_weights(model)
    with torch.inference_mode(), weights:
        continuations = _continue(model, prompts, generators, settings, progress)
    # clones outside inference mode: inference tensors cannot be used in autograd
    return [[segment._replace(tokens=segment.tokens.clone()) for segment in document] for document in continuations]


def _continue(
    model: MixtureOfTransformers,
    prompts: Sequence[Sequence[Segment]],
    generators: list[torch.Generator],
    settings: GenerationSettings,
    progress: Progress | None,
) -> list[list[Segment]]:
    context = prefill(model, prompts)
    continuations: list[list[Segment]] = [[] for _ in prompts]
    active = list(range(len(prompts)))  # index of the prompt of each sequence in the context
    rounds = len(settings.modalities) or settings.max_segments
    for i in range(rounds):
        forced = settings.modalities[i] if settings.modalities else None
        choices = _choose(model, context.last, [generators[prompt] for prompt in active], settings, forced)
        unfinished = [row for row, choice in enumerate(choices) if choice is not None]
        if len(unfinished) < len(active):
            context, active = context[unfinished], [active[row] for row in unfinished]
            choices = [choices[row] for row in unfinished]
        for choice in sorted({choice for choice in choices if choice is not None}, key=str):
            rows = [row for row, other in enumerate(choices) if other == choice]
            numbers = [active[row] for row in rows]
            with rows_of(context, rows) as part:
                sampled = _sample_segment(model, part, choice, numbers, generators, settings, progress, i + 1 < rounds)
            for number, tokens in zip(numbers, sampled, strict=True):
                continuations[number].append(Segment(choice.name, tokens))
        if not active:
            break
    return continuations


def _choose(
    model: MixtureOfTransformers,
    hidden: Tensor,
    generators: list[torch.Generator],
    settings: GenerationSettings,
    forced: str | None,
) -> list[Choice | None]:
    """The next segment of each sequence, from the hidden state (r, d) of its last token; None ends it."""
    grammar = model.grammar
    choices: dict[int, Choice | None] = {} if forced else {grammar.end_of_document: None}
    for name in (forced,) if forced else grammar.names:
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
    return [choices[id] for id in model.control.choose(hidden, candidates, request).tolist()]


def _sample_segment(
    model: MixtureOfTransformers,
    context: Context,
    choice: Choice,
    numbers: list[int],
    generators: list[torch.Generator],
    settings: GenerationSettings,
    progress: Progress | None,
    more_follow: bool,
) -> list[Tensor]:
    """Sample one segment for each sequence; append it and its control tokens to the context if more follow."""
    grammar, name = model.grammar, choice.name
    causal, scale = grammar.causal[name], settings.scale(name, grammar.causal[name])
    begin = grammar.begin_of(name, choice.length or 0)
    request = Request(
        [generators[number] for number in numbers],
        length=choice.length,
        stop=grammar.stop(name),
        max_length=settings.max_length,
        temperature=settings.temperature,
        top_k=settings.top_k,
        top_p=settings.top_p,
        min_p=settings.min_p,
        repetition_penalty=settings.repetition_penalty,
        guidance=scale,
        progress=progress
        and (lambda ids: [progress(number, name, id) for number, id in zip(numbers, ids, strict=True)]),
    )
    contexts = context
    if scale == 1:
        append_control(model, context, begin)
    else:
        contexts = context + Context(model.backbone, len(numbers))  # conditional, then unconditional sequences
        begins = [torch.tensor(ids, device=context.last.device) for ids in ([begin], [grammar.end_of_document, begin])]
        append_tokens(model, contexts, grammar.control, [ids for ids in begins for _ in numbers])
    tokens = model.objectives[name].sample(contexts.for_modality(name, causal), request)
    if more_follow:
        if contexts is not context:
            context[range(len(numbers))] = contexts[range(len(numbers))]
        if not causal:
            append_tokens(model, context, name, tokens)
        append_control(model, context, grammar.end[name])
    return tokens
