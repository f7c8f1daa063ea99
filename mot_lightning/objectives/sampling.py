"""Sampling of ids from logits: temperature, filters, and a generator for each sequence.

Knows logits, not the meaning of ids. Filters have the order and the meaning of transformers' logits processors.
"""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mot_lightning.objectives.base import Request

Logits = Float[Tensor, "*at v"]


def sample_ids(
    logits: Float[Tensor, "r *at v"], request: Request, seen: Bool[Tensor, "r *at v"] | None = None
) -> Int[Tensor, " r *at"]:
    """Sample one of v ids for each row of logits; each of the r sequences has a generator.

    Args:
        seen: ids that the repetition penalty applies to.
    """
    if seen is not None and request.repetition_penalty != 1:
        logits = repetition_penalty(logits, seen, request.repetition_penalty)
    if request.temperature == 0:
        return logits.argmax(-1)
    logits = top_k_top_p_min_p(
        logits / request.temperature if request.temperature != 1 else logits,
        request.top_k,
        request.top_p,
        request.min_p,
    )
    # Gumbel-max trick: minus the logarithm of exponential noise is Gumbel noise
    noise = torch.empty_like(logits)
    for row, generator in zip(noise, request.generators, strict=True):
        row.exponential_(generator=generator)
    return (logits - noise.clamp(min=1e-30).log()).argmax(-1)  # (r, ...)


def repetition_penalty(logits: Logits, seen: Bool[Tensor, "*at v"], penalty: float) -> Logits:
    """Logits of seen ids divided by the penalty, or multiplied if negative (CTRL, arXiv 1909.05858)."""
    return torch.where(seen, torch.where(logits < 0, logits * penalty, logits / penalty), logits)


def top_k_top_p_min_p(logits: Logits, top_k: int = 0, top_p: float = 1.0, min_p: float = 0.0) -> Logits:
    """Logits with -inf for excluded ids; ids tied with the last kept id are kept too.

    Args:
        top_k: number of likeliest ids to keep; 0 is all.
        top_p: probability mass of the likeliest ids to keep (nucleus sampling, arXiv 1904.09751).
        min_p: minimum probability of an id, relative to the likeliest (arXiv 2407.01082).
    """
    floors = []  # (..., 1) each
    if min_p:
        floors.append(logits.amax(-1, keepdim=True) + math.log(min_p))
    if top_k or top_p < 1:
        ranked = logits.sort(-1, descending=True).values  # (..., v)
        floor = ranked[..., [min(top_k or ranked.shape[-1], ranked.shape[-1]) - 1]]  # (..., 1)
        if top_p < 1:
            probability = ranked.masked_fill(ranked < floor, -math.inf).softmax(-1)
            likelier = probability.cumsum(-1) - probability  # probability of all likelier ids
            last = (likelier + 1e-6 < top_p).sum(-1, keepdim=True).clamp(min=1) - 1  # (..., 1)
            floor = floor.maximum(ranked.gather(-1, last))
        floors.append(floor)
    for floor in floors:
        logits = logits.masked_fill(logits < floor, -math.inf)
    return logits
