"""Prefill: finished segments and control tokens, appended to a context."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import product

import torch
from torch import Tensor

from mot_lightning.generation.context import Context
from mot_lightning.model import MixtureOfTransformers
from mot_lightning.sequence import Segment


@contextmanager
def rows_of(context: Context, rows: list[int]) -> Iterator[Context]:
    """The context of the selected sequences, written back at the end; nothing is copied if these are all."""
    part = context if len(rows) == len(context.last) else context[rows]
    yield part
    if part is not context:
        context[rows] = part


def append_control(model: MixtureOfTransformers, context: Context, *ids: int) -> None:
    """Append the same control tokens to each sequence."""
    tokens = torch.tensor(ids, device=context.last.device).expand(len(context.last), -1)
    context.append(model.control.embed_clean(tokens)[0], model.grammar.control, True)


def prefill(model: MixtureOfTransformers, prompts: Sequence[Sequence[Segment]], open_end: bool = False) -> Context:
    """The context of all prompts, as in `extend`; an empty prompt is the start of a document."""
    capacity = 64 + max(map(model.grammar.length, prompts))
    context = Context(model.backbone, len(prompts), capacity)
    extend(model, context, prompts, open_end)
    return context


def extend(
    model: MixtureOfTransformers, context: Context, prompts: Sequence[Sequence[Segment]], open_end: bool = False
) -> None:
    """Append the segments of a prompt to each sequence; a context without tokens starts a document first.

    Args:
        open_end: leave the last segment of each prompt without its end token, so that it can be continued.
    """
    grammar = model.grammar
    start = [grammar.end_of_document] if not context.lengths.any() else []
    if start and (empty := [row for row, prompt in enumerate(prompts) if not prompt]):
        with rows_of(context, empty) as part:
            append_control(model, part, *start)
    for i in range(max(map(len, prompts))):  # the i-th segments, by modality
        for name, ends in product(grammar.names, (True, False)):
            rows = [
                row
                for row, prompt in enumerate(prompts)
                if prompt[i:] and prompt[i].modality == name and ends != (open_end and i == len(prompt) - 1)
            ]
            if rows:
                with rows_of(context, rows) as part:
                    segments = [prompts[row][i].tokens for row in rows]
                    _append_segment(model, part, name, segments, [] if i else start, ends)


def _append_segment(
    model: MixtureOfTransformers, context: Context, name: str, segments: list[Tensor], before: list[int], ends: bool
) -> None:
    """Append one segment to each sequence, after the control tokens `before`, and its end token if it `ends`."""
    grammar, device = model.grammar, context.last.device
    begins = [torch.tensor([*before, grammar.begin_of(name, len(segment))]) for segment in segments]
    end = torch.tensor([grammar.end[name]] * ends, dtype=torch.long)
    if name == grammar.control:  # the same modality: one append
        segments = [torch.cat([begin, tokens.cpu(), end]) for begin, tokens in zip(begins, segments, strict=True)]
        append_tokens(model, context, name, [tokens.to(device) for tokens in segments])
    else:
        append_tokens(model, context, grammar.control, [begin.to(device) for begin in begins])
        append_tokens(model, context, name, [tokens.to(device) for tokens in segments])
        if ends:
            append_control(model, context, grammar.end[name])


def append_tokens(model: MixtureOfTransformers, context: Context, name: str, segments: list[Tensor]) -> None:
    """Append finished tokens to each sequence; their lengths may differ."""
    lengths = [len(segment) for segment in segments]
    tokens = torch.nn.utils.rnn.pad_sequence(segments, batch_first=True)  # (r, n) or (r, n, latent_dim)
    if tokens.shape[1]:
        x, condition = model.objectives[name].embed_clean(tokens)
        counts = None if len({*lengths}) == 1 else torch.tensor(lengths, device=x.device)
        context.append(x, name, model.grammar.causal[name], condition, counts)
