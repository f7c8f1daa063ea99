"""How an id is drawn from logits: temperature, what may be drawn at all, and a generator for each sequence.

Knows numbers, not what they are ids of. Applied in the order of transformers' logits processors, with their meaning.
"""

import math

import torch
from torch import Tensor

from mot_lightning.objectives.base import Request


def draw(logits: Tensor, how: Request, seen: Tensor | None = None) -> Tensor:
    """One of v ids for each logits (r, ..., v), each of the r sequences by its own generator.

    Args:
        seen: (r, ..., v) bool, ids that the repetition penalty holds for.
    """
    if seen is not None and how.repetition_penalty != 1:
        logits = penalised(logits, seen, how.repetition_penalty)
    if how.temperature == 0:
        return logits.argmax(-1)
    logits = truncated(logits / how.temperature if how.temperature != 1 else logits, how.top_k, how.top_p, how.min_p)
    # a race of exponential clocks is won in proportion to their rates
    clocks = torch.empty_like(logits)
    for own, generator in zip(clocks, how.generators, strict=True):
        own.exponential_(generator=generator)
    return (logits - clocks.clamp(min=1e-30).log()).argmax(-1)  # (r, ...)


def penalised(logits: Tensor, seen: Tensor, penalty: float) -> Tensor:
    """Logits of ids that were seen, divided by the penalty, or multiplied where negative (CTRL, arXiv 1909.05858)."""
    return torch.where(seen, torch.where(logits < 0, logits * penalty, logits / penalty), logits)


def truncated(logits: Tensor, top_k: int = 0, top_p: float = 1.0, min_p: float = 0.0) -> Tensor:
    """Logits (..., v), -inf but for ids that may be drawn; ids as likely as the last of these are kept with it.

    Args:
        top_k: the so many likeliest; 0 is all.
        top_p: the likeliest that share this much of the probability (nucleus sampling, arXiv 1904.09751).
        min_p: at least this share of the likeliest's probability (arXiv 2407.01082).
    """
    floors = []  # (..., 1) each
    if min_p:
        floors.append(logits.amax(-1, keepdim=True) + math.log(min_p))
    if top_k or top_p < 1:
        ranked = logits.sort(-1, descending=True).values
        least = ranked[..., [min(top_k or ranked.shape[-1], ranked.shape[-1]) - 1]]
        if top_p < 1:
            share = ranked.masked_fill(ranked < least, -math.inf).softmax(-1)
            before = share.cumsum(-1) - share  # of all that are likelier
            last = (before + 1e-6 < top_p).sum(-1, keepdim=True).clamp(min=1) - 1
            least = least.maximum(ranked.gather(-1, last))
        floors.append(least)
    for least in floors:
        logits = logits.masked_fill(logits < least, -math.inf)
    return logits
