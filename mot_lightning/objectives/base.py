"""The interface of an objective: how one modality's tokens are embedded, scored and sampled.

Knows one modality's tokens and hidden states; not the other modalities, media or the trainer.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from mot_lightning.config.recorded import Recorded
from mot_lightning.noise import Noise
from mot_lightning.sequence import Ids, Latents, ModalityBatch, Tokens

# tokens of r sequences of one length, and their embeddings
RowsOfIds = Int[Tensor, "r n"]
RowsOfLatents = Float[Tensor, "r n latent_dim"]
Embeddings = Float[Tensor, "r n d"]


class Embedded(NamedTuple):
    """The embedded tokens of a batch, and the targets of their loss."""

    embedding: Float[Tensor, "n d"]
    target: Int[Tensor, " t"] | Float[Tensor, "t latent_dim"]
    condition: Float[Tensor, "k d"] | None = None  # of the adaptive norms of each segment's tokens
    weight: Float[Tensor, " t"] | None = None  # of each target's loss; None is 1
    skip: tuple[Tensor, ...] = ()  # features that skip the backbone, from the input projection to the output projection


@runtime_checkable
class Context(Protocol):
    """r growing sequences and their cached keys and values (`mot_lightning.generation.context`).

    With classifier-free guidance (`Request.guidance`) there are 2 r: the r conditional ones, then as many unconditional
    ones, which hold the same segment without what precedes it. New tokens go to both.
    """

    @property
    def last(self) -> Float[Tensor, "r d"]:
        """Hidden state of each sequence's last token."""
        ...

    def adapt(self, conditions: Float[Tensor, "k d"]) -> Iterator[Any]:
        """Conditions with the modulation of all layers computed in advance; `peek` takes each as its condition."""
        ...

    def peek(self, x: Float[Tensor, "r n d"], condition: Any = None) -> Float[Tensor, "r n d"]:
        """Hidden states of new tokens, which are not added to the sequences: one denoising step."""
        ...

    def append(
        self,
        x: Float[Tensor, "r n d"],
        condition: Float[Tensor, "#r d"] | None = None,
        counts: Int[Tensor, " r"] | None = None,
    ) -> Float[Tensor, "r n d"]:
        """Hidden states of new tokens, which are added to the sequences: the first `counts[i]` to sequence i."""
        ...


@dataclass(frozen=True)
class Request:
    """Settings for sampling segments: one generator per sequence, so that no sample depends on its batch."""

    generators: list[torch.Generator]
    length: int | None = None  # tokens, if no stop id ends the segment
    stop: int | None = None  # the id that ends the segment, if one does
    max_length: int = 256  # tokens, if a stop id ends the segment
    temperature: float = 1.0  # of ids; 0 takes the likeliest
    top_k: int = 0  # number of likeliest ids to sample from; 0 is all
    top_p: float = 1.0  # probability mass of the likeliest ids to sample from
    min_p: float = 0.0  # minimum probability of an id, relative to the likeliest
    repetition_penalty: float = 1.0  # of ids already in the segment; 1 is no penalty
    prefixes: Sequence[Ids] = ()  # ids that each segment has already, if it is continued; they are in the context
    guidance: float = 1.0  # classifier-free guidance scale; 1 is no guidance
    progress: Callable[[list[int | None]], Any] | None = None  # called at each step with the new id of each sequence

    def both(self, x: Shaped[Tensor, " r *of_each"]) -> Shaped[Tensor, " in_context *of_each"]:
        """Values of the r sequences -> values of the whole context: the unconditional sequences get the same."""
        return x if self.guidance == 1 else torch.cat([x, x])

    def guide(self, prediction: Float[Tensor, " in_context *of_each"]) -> Float[Tensor, " r *of_each"]:
        """Predictions of the whole context -> guided predictions of the r sequences (arXiv 2207.12598, eq. 6)."""
        if self.guidance == 1:
            return prediction
        conditional, unconditional = prediction.chunk(2)
        return unconditional + self.guidance * (conditional - unconditional)


class Objective(Recorded, nn.Module, ABC):
    """Settings in `__init__`, weights in `build`: the model calls it when it knows its width and the tokens."""

    causal: ClassVar[bool]  # causal attention within segments, and prediction from the previous token
    discrete: ClassVar[bool]  # True for ids, False for latents
    adaptive_norm: bool = False  # whether `Embedded.condition` is set
    tokens: Tokens  # description of its tokens, set by `build`

    @classmethod
    def supports(cls, tokens: Tokens) -> bool:
        """Whether it can learn and sample these tokens. Causal ids end by a stop id, all others by their length."""
        has_length = tokens.length is not None or tokens.max_length is not None  # fixed, or in the begin token
        return cls.discrete == tokens.discrete and (has_length or (cls.discrete and cls.causal))

    @abstractmethod
    def build(self, dim: int, tokens: Tokens) -> None:
        """Create the weights for hidden states of `dim` and these tokens."""

    def never_frozen(self) -> Iterator[Tensor]:
        """Weights that learn by the common settings where the objective is frozen. Most objectives have none."""
        return iter(())

    def set_codebook(self, codebook: Float[Tensor, "v c"] | None) -> None:
        """Take the codebook of a fitted codec. Most objectives do not use it."""

    @abstractmethod
    def embed(self, part: ModalityBatch, noise: Noise) -> Embedded:
        """Embed a batch's tokens. All randomness comes from `noise`, so that no loss depends on the batch."""

    @abstractmethod
    def embed_clean(self, tokens: RowsOfIds | RowsOfLatents) -> tuple[Embeddings, Float[Tensor, "#r d"] | None]:
        """Embed clean tokens as context; also returns their condition, (1, d) if all sequences share it."""

    @abstractmethod
    def loss(self, hidden: Float[Tensor, "t d"], embedded: Embedded) -> Float[Tensor, " t"]:
        """Loss of each target, unreduced, from the hidden states that predict them."""

    @abstractmethod
    def sample(self, context: Context, request: Request) -> list[Ids] | list[Latents]:
        """The tokens of one segment for each sequence.

        A causal objective appends them to the context one by one; all others leave that to the caller.
        """


@runtime_checkable
class ControlObjective(Protocol):
    """What the control modality's objective must provide: it embeds control tokens and chooses among their ids."""

    def embed_clean(self, tokens: RowsOfIds) -> tuple[Float[Tensor, "r n d"], Any]:
        """Embed control tokens as context."""
        ...

    def choose(
        self, hidden: Float[Tensor, "r d"], ids: slice | Int[Tensor, " v"], request: Request
    ) -> Int[Tensor, " r"]:
        """Sample one id for each hidden state, among `ids`."""
        ...


def positions_in_segment(part: ModalityBatch) -> tuple[Int[Tensor, " n"], Int[Tensor, " k"]]:
    """The position of each token in its segment, and the number of tokens of each segment."""
    ones = torch.ones(len(part.segment), dtype=torch.long, device=part.segment.device)
    sizes = torch.zeros(len(part.loss), dtype=torch.long, device=ones.device).index_add(0, part.segment, ones)
    first = sizes.cumsum(0) - sizes  # (k,) index of the first token of each segment
    return torch.arange(len(ones), device=ones.device) - first[part.segment], sizes
