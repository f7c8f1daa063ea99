"""The base of objectives over ids: an embedding, a head and its cross-entropy.

Knows ids and hidden states; each objective chooses its targets.
"""

from collections.abc import Iterator
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mot_lightning.errors import require
from mot_lightning.initialisation import NEARLY_UNIFORM, init_linear
from mot_lightning.objectives.base import Objective
from mot_lightning.objectives.codebook_embedding import CodebookEmbedding
from mot_lightning.objectives.control_rows import ControlRows
from mot_lightning.sequence import Tokens


class DiscreteObjective(Objective):
    """Ids in, a distribution over ids out.

    Label smoothing and z-loss apply in training only; validation and test use plain cross-entropy, in nats.

    Args:
        tie: whether one table both embeds and predicts the ids (arXiv 1608.05859); embeddings are then its rows times
            sqrt(dim), as in the first transformer (arXiv 1706.03762, section 3.4).
        label_smoothing: probability of the target that is spread over all ids (arXiv 1512.00567, section 7).
        z_loss: weight of log(Z)^2, the squared logarithm of the softmax's normaliser (PaLM, arXiv 2204.02311,
            section 5: 1e-4).
        max_logits: maximum number of logits computed at a time. For more, the head is applied in chunks, which are
            recomputed in the backward pass.
        embedding_scale: what embeddings are multiplied by, in place of sqrt(dim) if tied, else 1; null for these.
        lookup: how ids are embedded: "table" by a row of a table, "codebook" by a linear map of their codebook vectors,
            as in VAR (arXiv 2404.02905). Ids with similar codebook vectors then have similar embeddings, which helps if
            there are too few media to learn each id by itself. Stop and control ids always use a table.
        decouple_control: of the control modality, whether control ids have tables of their own, as those that IDEFICS
            adds to a language model (arXiv 2306.16527). All other ids are then predicted among themselves, and control
            ids among themselves, as they are sampled. Where the objective is frozen, control ids are still learned, but
            for the embeddings that documents of the control modality alone read: the losses of these stay as they are.
    """

    discrete = True

    def __init__(
        self,
        tie: bool = False,
        label_smoothing: float = 0.0,
        z_loss: float = 0.0,
        max_logits: int = 2**25,
        lookup: Literal["table", "codebook"] = "table",
        embedding_scale: float | None = None,
        decouple_control: bool = False,
    ) -> None:
        super().__init__()
        require("label_smoothing", label_smoothing, "from 0 to below 1", 0 <= label_smoothing < 1)
        require("z_loss", z_loss, "0 or more", z_loss >= 0)
        require("max_logits", max_logits, "at least 1", max_logits >= 1)
        require("embedding_scale", embedding_scale, "above 0", embedding_scale is None or embedding_scale > 0)
        require("lookup", lookup, "'table' or 'codebook'", lookup in ("table", "codebook"))
        if tie and lookup == "codebook":
            raise ValueError("lookup is 'codebook' and tie is true, wanted one of them: a tied table embeds, too")
        if decouple_control and lookup == "codebook":
            raise ValueError("lookup is 'codebook' and decouple_control is true, wanted one of them")
        self.tie, self.label_smoothing, self.z_loss, self.max_logits = tie, label_smoothing, z_loss, max_logits
        self.lookup, self.embedding_scale, self.decouple_control = lookup, embedding_scale, decouple_control

    def build(self, dim: int, tokens: Tokens) -> None:
        assert tokens.vocab_size is not None
        self.tokens = tokens
        self.scale = (dim**0.5 if self.tie else 1.0) if self.embedding_scale is None else self.embedding_scale
        table, decoupled = self.lookup == "table", self.decouple_control and len(tokens.control_ids) > 0
        rows = tokens.vocab_size - decoupled * len(tokens.control_ids)
        self.embedding = nn.Embedding(rows, dim) if table else CodebookEmbedding(dim, tokens)
        std = dim**-0.5 if self.tie else NEARLY_UNIFORM
        self.head = init_linear(nn.Linear(dim, rows, bias=False), std)
        self.control = ControlRows(dim, tokens, std if self.tie else None) if decoupled else None
        if self.tie:
            self.embedding.weight = self.head.weight

    def set_codebook(self, codebook: Float[Tensor, "v c"] | None) -> None:
        if isinstance(self.embedding, CodebookEmbedding):
            assert codebook is not None
            self.embedding.set_codebook(codebook)

    @property
    def content_ids(self) -> int:
        """Number of ids that are no control ids."""
        return self.tokens.vocab_size - len(self.tokens.control_ids)  # type: ignore[operator]

    def never_frozen(self) -> Iterator[Tensor]:
        if self.control is not None:
            yield self.control.head.weight
            if self.control.others is not None:
                yield self.control.others.weight

    def _embed(self, ids: Tensor) -> Tensor:
        if self.control is None:
            embedding = self.embedding(ids)
        else:
            content = self.embedding(ids.clamp(max=self.control.first - 1))
            embedding = torch.where((ids < self.control.first)[..., None], content, self.control.embed(ids))
        return embedding * self.scale if self.scale != 1 else embedding  # (..., d)

    def logits(self, hidden: Float[Tensor, "t d"]) -> Float[Tensor, "t v"]:
        """Of all ids, control ids last."""
        logits = self.head(hidden)
        return logits if self.control is None else torch.cat([logits, self.control.head(hidden)], dim=-1)

    def cross_entropy(self, hidden: Float[Tensor, "t d"], target: Int[Tensor, " t"]) -> Float[Tensor, " t"]:
        """Loss of each target, from the hidden states that predict them, with at most `max_logits` logits at a time."""
        rows = max(1, self.max_logits // self.head.out_features)
        if len(hidden) <= rows:
            return self._score(hidden, target)
        chunks = zip(hidden.split(rows), target.split(rows), strict=True)
        return torch.cat(
            [checkpoint(self._score, *chunk, use_reentrant=False, preserve_rng_state=False) for chunk in chunks]
        )

    def _score(self, hidden: Tensor, target: Tensor) -> Tensor:
        if self.control is None:
            return self._loss(self.head(hidden), target)
        first = self.control.first
        content = self._loss(self.head(hidden), target.clamp(max=first - 1))
        control = self._loss(self.control.head(hidden), (target - first).clamp(min=0))
        return torch.where(target < first, content, control)  # (t,)

    def _loss(self, logits: Float[Tensor, "t v"], target: Int[Tensor, " t"]) -> Float[Tensor, " t"]:
        logits = logits.float()
        if not self.training:
            return F.cross_entropy(logits, target, reduction="none")
        loss = F.cross_entropy(logits, target, reduction="none", label_smoothing=self.label_smoothing)
        return loss + self.z_loss * logits.logsumexp(-1).square() if self.z_loss else loss  # (t,)
