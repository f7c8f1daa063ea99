"""Generation: prompts in, continuations out, segment by segment, through whatever modalities are chosen.

Knows documents and contexts; each modality's objective samples its own segments.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mot_lightning.generation.context import Context
from mot_lightning.model import MixtureOfTransformers
from mot_lightning.objectives.base import Request, generator_for
from mot_lightning.sequence import Segment


@dataclass(frozen=True)
class GenerationSettings:
    """How to continue prompts.

    Attributes:
        modalities: the segments to make, one after another; empty lets the model choose, until it ends the document.
        max_segments: the most segments, when the model chooses.
        max_length: the most tokens of a segment that a stop id ends.
        temperature: of discrete tokens and of the choice of modality; 0 takes the likeliest.
        top_p: share of the probability that is sampled from.
        guidance: classifier-free guidance scale of continuous segments; 1 is none.
        seed: of all draws; sample i of a prompt does not depend on its batch.
    """

    modalities: tuple[str, ...] = ()
    max_segments: int = 8
    max_length: int = 256
    temperature: float = 1.0
    top_p: float = 1.0
    guidance: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name, wanted, fits in (
            ("max_segments", "at least 1", self.max_segments >= 1),
            ("max_length", "at least 1", self.max_length >= 1),
            ("temperature", "0 or more", self.temperature >= 0),
            ("top_p", "a share above 0, up to 1", 0 < self.top_p <= 1),
            ("guidance", "0 or more", self.guidance >= 0),
        ):
            if not fits:
                raise ValueError(f"{name} is {getattr(self, name)}, wanted {wanted}")


@torch.no_grad()
def generate(
    model: MixtureOfTransformers,
    prompts: Sequence[Sequence[Segment]],
    settings: GenerationSettings,
    samples: Sequence[int] | None = None,
) -> list[list[Segment]]:
    """Continue each prompt; returns the new segments only.

    Args:
        samples: the number of each prompt's sample, which seeds its draws together with `settings.seed`.
    """
    grammar = model.grammar
    unknown = sorted({*settings.modalities} - {*grammar.names})
    if unknown:
        raise ValueError(f"modalities names {unknown[0]!r}, wanted some of {', '.join(grammar.names)}")
    for prompt in prompts:
        for segment in prompt:
            grammar.check(segment)
    if not prompts:
        return []
    device = next(model.parameters()).device
    rows = torch.arange(len(prompts), device=device)
    numbers = range(len(prompts)) if samples is None else samples
    generators = [generator_for(settings.seed, number, device=device) for number in numbers]
    context = _start(model, len(prompts))
    for i in range(max((len(prompt) for prompt in prompts), default=0)):  # the i-th segments, by modality
        for name in grammar.names:
            mine = [r for r, prompt in enumerate(prompts) if i < len(prompt) and prompt[i].modality == name]
            if mine:
                part = context[rows[mine]]
                _read(model, part, name, [prompts[r][i].tokens.to(device) for r in mine])
                context[rows[mine]] = part

    written: list[list[Segment]] = [[] for _ in prompts]
    active = list(range(len(prompts)))
    for i in range(len(settings.modalities) or settings.max_segments):
        if not active:
            break
        chosen: list[str | None]
        if settings.modalities:
            chosen = [settings.modalities[i]] * len(active)
        else:
            chosen = _choose(model, context[rows[active]], [generators[r] for r in active], settings)
        for name in grammar.names:
            mine = [r for r, choice in zip(active, chosen, strict=True) if choice == name]
            if mine:
                part = context[rows[mine]]
                for r, tokens in zip(
                    mine, _write(model, part, name, [generators[r] for r in mine], settings), strict=True
                ):
                    written[r].append(Segment(name, tokens))
                context[rows[mine]] = part
        active = [r for r, choice in zip(active, chosen, strict=True) if choice]
    return written


def _control(model: MixtureOfTransformers, context: Context, token: int) -> None:
    ids = torch.full((len(context.last), 1), token, device=context.last.device)
    context.append(model.control.embed_clean(ids)[0], model.grammar.control, True)


def _start(model: MixtureOfTransformers, rows: int) -> Context:
    context = Context(model.backbone, rows)
    _control(model, context, model.grammar.end_of_document)
    return context


def _read(model: MixtureOfTransformers, context: Context, name: str, segments: list[Tensor]) -> None:
    """Append one finished segment to each sequence."""
    grammar = model.grammar
    _control(model, context, grammar.begin[name])
    tokens = torch.nn.utils.rnn.pad_sequence(segments, batch_first=True)  # (r, n) or (r, n, latent_dim)
    if tokens.shape[1]:
        x, condition = model.objectives[name].embed_clean(tokens)
        counts = torch.tensor([len(segment) for segment in segments], device=x.device)
        context.append(x, name, grammar.causal[name], condition, counts)
    _control(model, context, grammar.end[name])


def _choose(
    model: MixtureOfTransformers, context: Context, generators: list[torch.Generator], settings: GenerationSettings
) -> list[str | None]:
    """The modality that comes next in each sequence; None ends it."""
    grammar = model.grammar
    names: list[str | None] = [None, *grammar.names]
    ids = torch.tensor([grammar.end_of_document, *grammar.begin.values()], device=context.last.device)
    request = Request(generators, temperature=settings.temperature, top_p=settings.top_p)
    chosen = model.control.choose(context.last, ids, request)  # (r,)
    return [names[i] for i in (chosen[:, None] == ids).int().argmax(-1).tolist()]


def _write(
    model: MixtureOfTransformers,
    context: Context,
    name: str,
    generators: list[torch.Generator],
    settings: GenerationSettings,
) -> list[Tensor]:
    """Sample one segment for each sequence, begin and end tokens included."""
    grammar, objective = model.grammar, model.objectives[name]
    unguided = None
    if settings.guidance != 1 and not grammar.causal[name]:
        free = _start(model, len(generators))  # the same segment with nothing before it
        _control(model, free, grammar.begin[name])
        unguided = free.speaking(name, grammar.causal[name])
    _control(model, context, grammar.begin[name])
    request = Request(
        generators,
        length=grammar.tokens[name].length,
        stop=grammar.stop(name),
        max_length=settings.max_length,
        temperature=settings.temperature,
        top_p=settings.top_p,
        guidance=settings.guidance,
        unguided=unguided,
    )
    tokens = objective.sample(context.speaking(name, grammar.causal[name]), request)
    _control(model, context, grammar.end[name])
    return tokens
