"""What an objective is: how one modality's tokens enter the backbone, what is asked of them, and how they are made.

Knows one modality's tokens and hidden states; nothing of the other modalities, of media or of the trainer.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Protocol

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
    """r growing sequences and their cached keys and values (`mot_lightning.generation.context`)."""

    @property
    def last(self) -> Tensor:
        """(r, d) hidden state of each sequence's last token."""
        ...

    def peek(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Hidden states (r, n, d) of tokens that leave no trace: one denoising step."""
        ...

    def append(self, x: Tensor, condition: Tensor | None = None, counts: Tensor | None = None) -> Tensor:
        """Hidden states (r, n, d) of tokens that stay; row i keeps the first `counts[i]`."""
        ...


@dataclass(frozen=True)
class Request:
    """How segments are to be sampled: one generator per sequence, so that no sample depends on its batch."""

    generators: list[torch.Generator]
    length: int | None = None  # tokens, where the modality's shape fixes them
    stop: int | None = None  # the id that ends the segment, where one does
    max_length: int = 256  # tokens, where a stop id ends the segment
    temperature: float = 1.0  # of discrete tokens; 0 takes the likeliest
    top_p: float = 1.0  # share of the probability that is sampled from
    guidance: float = 1.0  # classifier-free guidance scale; 1 is none
    unguided: Context | None = None  # the same segments without what precedes them, when guidance is on


class Objective(nn.Module, ABC):
    """Settings in `__init__`, weights in `build`: the model calls it once it knows its width and the tokens."""

    causal: ClassVar[bool]  # attention inside its own segments, and prediction from the token before
    discrete: ClassVar[bool]  # the tokens it fits: ids, or latents
    conditions: bool = False  # whether its views carry a condition
    tokens: Tokens  # what it was built for

    @classmethod
    def fits(cls, tokens: Tokens) -> bool:
        """Whether it can learn and make such tokens. Ids in causal order end by a stop id, all else by its shape."""
        return cls.discrete == tokens.discrete and (tokens.length is not None or (cls.discrete and cls.causal))

    @abstractmethod
    def build(self, dim: int, tokens: Tokens) -> None:
        """Make the weights for hidden states of `dim` and these tokens."""

    @abstractmethod
    def embed(self, part: Part, generator: torch.Generator) -> View:
        """Embed a batch's tokens. Noise and time are drawn here, from the generator."""

    @abstractmethod
    def embed_clean(self, tokens: Tensor) -> tuple[Tensor, Tensor | None]:
        """Embed finished tokens (r, n) or (r, n, latent_dim) as context: (r, n, d), and a condition (r, d) or None."""

    @abstractmethod
    def loss(self, hidden: Tensor, view: View) -> Tensor:
        """Loss of each target, (t,), unreduced, from the hidden states (t, d) at which it is read."""

    @abstractmethod
    def sample(self, context: Context, request: Request) -> list[Tensor]:
        """The tokens of one segment for each sequence of the context, which grows by them."""


def generator_for(*numbers: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator seeded by a tuple of numbers: (seed, step, rank) in training, (seed, sample) in generation.

    Noise that is a pure function of where it is needed makes resumed runs equal to uninterrupted ones.
    """
    return torch.Generator(device).manual_seed(mix(*numbers))


def mix(*numbers: int) -> int:
    """A 63-bit seed from several numbers (splitmix64 finaliser over a running sum)."""
    state = 0
    for number in numbers:
        state = (state + number + 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
        state ^= state >> 31
    return state >> 1
