"""Generation: prompts in, continuations out, segment by segment, through whatever modalities are chosen.

Knows documents and contexts; each modality's objective samples its own segments.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mot_lightning.generation.context import Context
from mot_lightning.generation.layout import by_use
from mot_lightning.model import MixtureOfTransformers
from mot_lightning.objectives.base import Request
from mot_lightning.seeds import generator_for
from mot_lightning.sequence import Grammar, Segment


@dataclass(frozen=True)
class GenerationSettings:
    """How to continue prompts.

    Attributes:
        modalities: the segments to make, one after another; empty lets the model choose, until it ends the document.
        max_segments: the most segments, when the model chooses.
        max_length: the most tokens of a segment that a stop id ends.
        temperature: of discrete tokens and of the choice of modality; 0 takes the likeliest.
        top_p: share of the probability that is sampled from.
        guidance: classifier-free guidance scale; 1 is none. A number is for all segments that are made as a whole;
            by modality, for those that are named, which may also be made token by token.
        seed: of all draws; sample i of a prompt does not depend on its batch.
        top_k: how many of the likeliest ids may be drawn; 0 is all.
        min_p: share of the likeliest id's probability that an id must have.
        repetition_penalty: of ids that the segment already holds (arXiv 1909.05858); 1 is none.
        lengths: tokens of a segment, by modality, in place of the length that its begin token tells.
    """

    modalities: tuple[str, ...] = ()
    max_segments: int = 8
    max_length: int = 256
    temperature: float = 1.0
    top_p: float = 1.0
    guidance: float | Mapping[str, float] = 1.0
    seed: int = 0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    lengths: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if isinstance(self.modalities, str):
            raise ValueError(f"modalities is {self.modalities!r}, wanted a list of names")
        for name, wanted, fits in (
            ("max_segments", "at least 1", self.max_segments >= 1),
            ("max_length", "at least 1", self.max_length >= 1),
            ("temperature", "0 or more", self.temperature >= 0),
            ("seed", "0 or more", self.seed >= 0),
            ("top_k", "0 (all) or more", self.top_k >= 0),
            ("top_p", "a share above 0, up to 1", 0 < self.top_p <= 1),
            ("min_p", "a share from 0 to 1", 0 <= self.min_p <= 1),
            ("repetition_penalty", "above 0", self.repetition_penalty > 0),
        ):
            if not fits:
                raise ValueError(f"{name} is {getattr(self, name)}, wanted {wanted}")
        by_name = self.guidance if isinstance(self.guidance, Mapping) else {"": self.guidance}
        for name, scale in by_name.items():
            if not 0 <= scale < math.inf:
                raise ValueError(f"guidance{name and f' of {name}'} is {scale}, wanted a number of 0 or more")

    def scale(self, name: str, causal: bool) -> float:
        """The guidance scale of one modality."""
        if isinstance(self.guidance, Mapping):
            return self.guidance.get(name, 1.0)
        return 1.0 if causal else self.guidance

    def check(self, grammar: Grammar) -> None:
        """Raises ValueError where a setting does not fit the modalities."""
        for setting in ("modalities", "guidance", "lengths"):
            value = getattr(self, setting)
            for name in sorted({*value} - {*grammar.names}) if not isinstance(value, int | float) else ():
                raise ValueError(f"{setting} names {name!r}, wanted some of {', '.join(grammar.names)}")
        for name, length in self.lengths.items():
            if grammar.stop(name) is not None:
                raise ValueError(f"lengths has {name}: {length}, wanted none, as a stop id ends it: see max_length")
            if length < 1:
                raise ValueError(f"lengths has {name}: {length}, wanted at least 1")
            grammar.check_length(name, length)
        for name in self.modalities or grammar.names:
            fixed = grammar.tokens[name].length or grammar.stop(name) is not None or grammar.sizes[name]
            if not fixed and name not in self.lengths:
                raise ValueError(
                    f"lengths has no {name}, wanted its tokens: neither shape, stop id nor begin token tells"
                )


class Choice(NamedTuple):
    """What comes next: a segment of a modality, of a length where no stop id ends it."""

    name: str
    length: int | None


# told (number of the prompt, modality, id or None at the end) as ids are drawn one by one
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
        samples: the number of each prompt's sample, which seeds its draws together with `settings.seed`.
        progress: told ids as they are drawn one by one.
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
    # a compiled region would be compiled anew for each layer that reads copies
    layout = nullcontext() if model.backbone.settings.compile else by_use(model)
    with torch.inference_mode(), layout:
        written = _continue(model, prompts, generators, settings, progress)
    # whoever gets the tokens may learn from them
    return [[segment._replace(tokens=segment.tokens.clone()) for segment in document] for document in written]


def _continue(
    model: MixtureOfTransformers,
    prompts: Sequence[Sequence[Segment]],
    generators: list[torch.Generator],
    settings: GenerationSettings,
    progress: Progress | None,
) -> list[list[Segment]]:
    context = _read_prompts(model, prompts)
    written: list[list[Segment]] = [[] for _ in prompts]
    active = list(range(len(prompts)))  # the prompts that the context's sequences continue
    rounds = len(settings.modalities) or settings.max_segments
    for i in range(rounds):
        forced = settings.modalities[i] if settings.modalities else None
        chosen = _choose(model, context.last, [generators[row] for row in active], settings, forced)
        going = [at for at, choice in enumerate(chosen) if choice is not None]
        if len(going) < len(active):
            context, active, chosen = context[going], [active[at] for at in going], [chosen[at] for at in going]
        for choice in sorted({choice for choice in chosen if choice is not None}, key=str):
            mine = [at for at, own in enumerate(chosen) if own == choice]
            rows = [active[at] for at in mine]
            with _some(context, mine) as part:
                made = _write(model, part, choice, rows, generators, settings, progress, i + 1 < rounds)
            for row, tokens in zip(rows, made, strict=True):
                written[row].append(Segment(choice.name, tokens))
        if not active:
            break
    return written


@contextmanager
def _some(context: Context, rows: list[int]) -> Iterator[Context]:
    """Some of the sequences, which grow by themselves while it lasts; nothing is copied where they are all."""
    part = context if len(rows) == len(context.last) else context[rows]
    yield part
    if part is not context:
        context[rows] = part


def _control(model: MixtureOfTransformers, context: Context, *ids: int) -> None:
    """Append the same control tokens to each sequence."""
    tokens = torch.tensor(ids, device=context.last.device).expand(len(context.last), -1)
    context.append(model.control.embed_clean(tokens)[0], model.grammar.control, True)


def _read_prompts(model: MixtureOfTransformers, prompts: Sequence[Sequence[Segment]]) -> Context:
    grammar = model.grammar
    context = Context(model.backbone, len(prompts), capacity=64 + max(map(grammar.length, prompts)))
    if empty := [row for row, prompt in enumerate(prompts) if not prompt]:
        with _some(context, empty) as part:
            _control(model, part, grammar.end_of_document)
    for i in range(max(map(len, prompts))):  # the i-th segments, by modality
        before = [] if i else [grammar.end_of_document]
        for name in grammar.names:
            mine = [row for row, prompt in enumerate(prompts) if i < len(prompt) and prompt[i].modality == name]
            if mine:
                with _some(context, mine) as part:
                    _read(model, part, name, [prompts[row][i].tokens for row in mine], before)
    return context


def _read(model: MixtureOfTransformers, context: Context, name: str, segments: list[Tensor], before: list[int]) -> None:
    """Append one finished segment to each sequence, and control tokens before it."""
    grammar, device = model.grammar, context.last.device
    begins = [torch.tensor([*before, grammar.begin_of(name, len(segment))]) for segment in segments]
    end = torch.tensor([grammar.end[name]])
    if name == grammar.control:  # one modality, so all at once
        segments = [torch.cat([begin, own.cpu(), end]) for begin, own in zip(begins, segments, strict=True)]
        _append(model, context, name, [own.to(device) for own in segments])
    else:
        _append(model, context, grammar.control, [begin.to(device) for begin in begins])
        _append(model, context, name, [own.to(device) for own in segments])
        _control(model, context, grammar.end[name])


def _append(model: MixtureOfTransformers, context: Context, name: str, segments: list[Tensor]) -> None:
    """Append finished tokens to each sequence, so many as it has."""
    lengths = [len(segment) for segment in segments]
    tokens = torch.nn.utils.rnn.pad_sequence(segments, batch_first=True)  # (r, n) or (r, n, latent_dim)
    if tokens.shape[1]:
        x, condition = model.objectives[name].embed_clean(tokens)
        counts = None if len({*lengths}) == 1 else torch.tensor(lengths, device=x.device)
        context.append(x, name, model.grammar.causal[name], condition, counts)


def _choose(
    model: MixtureOfTransformers,
    hidden: Tensor,
    generators: list[torch.Generator],
    settings: GenerationSettings,
    forced: str | None,
) -> list[Choice | None]:
    """What comes next in each sequence, from the hidden state (r, d) of its last token; None ends it."""
    grammar = model.grammar
    choices: dict[int, Choice | None] = {} if forced else {grammar.end_of_document: None}
    for name in (forced,) if forced else grammar.names:
        given = settings.lengths.get(name, grammar.tokens[name].length)
        # of the ids that tell a length, a forced one takes the one that it will begin with
        ids = grammar.begins[name] if not (forced and given) else [grammar.begin_of(name, given)]
        for id, length in zip(ids, grammar.sizes[name] or [None] * len(ids), strict=False):
            choices[id] = Choice(name, given or length)
    if len(choices) == 1:
        return [*choices.values()] * len(generators)
    request = Request(
        generators,
        temperature=settings.temperature,
        top_k=settings.top_k,
        top_p=settings.top_p,
        min_p=settings.min_p,
    )
    among = torch.tensor(list(choices), device=hidden.device)
    return [choices[id] for id in model.control.choose(hidden, among, request).tolist()]


def _write(
    model: MixtureOfTransformers,
    context: Context,
    choice: Choice,
    rows: list[int],
    generators: list[torch.Generator],
    settings: GenerationSettings,
    progress: Progress | None,
    more: bool,
) -> list[Tensor]:
    """Sample one segment for each sequence; the context has it and its control tokens, if more is to come."""
    grammar, name = model.grammar, choice.name
    causal, scale = grammar.causal[name], settings.scale(name, grammar.causal[name])
    begin = grammar.begin_of(name, choice.length or 0)
    request = Request(
        [generators[row] for row in rows],
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
        and (lambda ids: [progress(*told) for told in zip(rows, [name] * len(rows), ids, strict=True)]),
    )
    voices = context
    if scale == 1:
        _control(model, context, begin)
    else:
        voices = context + Context(model.backbone, len(rows))  # and the same segment with nothing before it
        begins = [torch.tensor(ids, device=context.last.device) for ids in ([begin], [grammar.end_of_document, begin])]
        _append(model, voices, grammar.control, [own for own in begins for _ in rows])
    tokens = model.objectives[name].sample(voices.speaking(name, causal), request)
    if more:
        if voices is not context:
            context[range(len(rows))] = voices[range(len(rows))]
        if not causal:
            _append(model, context, name, tokens)
        _control(model, context, grammar.end[name])
    return tokens
