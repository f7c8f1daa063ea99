"""What an objective is: how one modality's tokens enter the backbone, what is asked of them, and how they are made.

Knows one modality's tokens and hidden states; nothing of the other modalities, of media or of the trainer.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from mot_lightning.sequence import Part, Tokens


class View(NamedTuple):
    """What an objective shows the backbone of its tokens, and what it will ask for in return."""

    embedding: Tensor  # (n, d)
    target: Tensor  # (t,) ids or (t, latent_dim)
    condition: Tensor | None = None  # (k, d): adapts the norms of each segment's tokens
    weight: Tensor | None = None  # (t,) of each target's loss; none is 1
    skip: tuple[Tensor, ...] = ()  # what the way in hands to the way out, past the backbone


class Context(Protocol):
    """r growing sequences and their cached keys and values (`mot_lightning.generation.context`).

    With classifier-free guidance (`Request.guidance`) there are 2 r: those to be continued, and after them their twins,
    which hold the same segment without what precedes it. All tokens come to both.
    """

    @property
    def last(self) -> Tensor:
        """(r, d) hidden state of each sequence's last token."""
        ...

    def adapt(self, conditions: Tensor) -> Iterator[Any]:
        """Conditions (k, d), worked out for all layers at once; `peek` takes each in place of its (1, d)."""
        ...

    def peek(self, x: Tensor, condition: Any = None) -> Tensor:
        """Hidden states (r, n, d) of tokens that leave no trace: one denoising step."""
        ...

    def append(self, x: Tensor, condition: Tensor | None = None, counts: Tensor | None = None) -> Tensor:
        """Hidden states (r, n, d) of tokens that stay; row i keeps the first `counts[i]`."""
        ...


@dataclass(frozen=True)
class Request:
    """How segments are to be sampled: one generator per sequence, so that no sample depends on its batch."""

    generators: list[torch.Generator]
    length: int | None = None  # tokens, where no stop id ends the segment
    stop: int | None = None  # the id that ends the segment, where one does
    max_length: int = 256  # tokens, where a stop id ends the segment
    temperature: float = 1.0  # of discrete tokens; 0 takes the likeliest
    top_k: int = 0  # how many of the likeliest ids may be drawn; 0 is all
    top_p: float = 1.0  # share of the probability that is sampled from
    min_p: float = 0.0  # share of the likeliest id's probability that an id must have
    repetition_penalty: float = 1.0  # of ids that the segment already holds; 1 is none
    guidance: float = 1.0  # classifier-free guidance scale; 1 is none
    progress: Callable[[list[int | None]], Any] | None = None  # told the id that each sequence gets, as it gets it

    def both(self, x: Tensor) -> Tensor:
        """What comes to each of the r sequences (r, ...), for all of the context: their twins get the same."""
        return x if self.guidance == 1 else torch.cat([x, x])

    def guide(self, prediction: Tensor) -> Tensor:
        """Predictions for all of the context -> (r, ...): classifier-free guidance (arXiv 2207.12598, eq. 6)."""
        if self.guidance == 1:
            return prediction
        prompted, free = prediction.chunk(2)
        return free + self.guidance * (prompted - free)


class Objective(nn.Module, ABC):
    """Settings in `__init__`, weights in `build`: the model calls it once it knows its width and the tokens."""

    causal: ClassVar[bool]  # attention inside its own segments, and prediction from the token before
    discrete: ClassVar[bool]  # the tokens it fits: ids, or latents
    conditions: bool = False  # whether its views carry a condition
    tokens: Tokens  # what it was built for

    @classmethod
    def fits(cls, tokens: Tokens) -> bool:
        """Whether it can learn and make such tokens. Ids in causal order end by a stop id, all else by its length."""
        told = tokens.length is not None or tokens.max_length is not None  # by its shape, or by its begin token
        return cls.discrete == tokens.discrete and (told or (cls.discrete and cls.causal))

    @abstractmethod
    def build(self, dim: int, tokens: Tokens) -> None:
        """Make the weights for hidden states of `dim` and these tokens."""

    def meet(self, codebook: Tensor | None) -> None:
        """Learn what the ids of a codec that has been fitted stand for, (v, c). Most objectives ask nothing of it."""

    @abstractmethod
    def embed(self, part: Part, generator: torch.Generator) -> View:
        """Embed a batch's tokens. Noise and time are drawn here, from the generator."""

    @abstractmethod
    def embed_clean(self, tokens: Tensor) -> tuple[Tensor, Tensor | None]:
        """Embed finished tokens (r, n) or (r, n, latent_dim) as context: (r, n, d), and a condition or None.

        A condition is (r, d), or (1, d) where all sequences have the same.
        """

    @abstractmethod
    def loss(self, hidden: Tensor, view: View) -> Tensor:
        """Loss of each target, (t,), unreduced, from the hidden states (t, d) at which it is read."""

    @abstractmethod
    def sample(self, context: Context, request: Request) -> list[Tensor]:
        """The tokens of one segment for each sequence. A context grows by those of a causal objective, token by token;
        whoever asked appends all others."""


def places(part: Part) -> tuple[Tensor, Tensor]:
    """The place of each token in its segment (n,), and how many tokens each segment has (k,)."""
    ones = torch.ones(len(part.segment), dtype=torch.long, device=part.segment.device)
    sizes = torch.zeros(len(part.loss), dtype=torch.long, device=ones.device).index_add(0, part.segment, ones)
    first = sizes.cumsum(0) - sizes
    return torch.arange(len(ones), device=ones.device) - first[part.segment], sizes
