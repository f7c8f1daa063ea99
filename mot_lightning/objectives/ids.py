"""What all objectives of ids share: what embeds them, a head that predicts, and its cross-entropy.

Knows ids and hidden states; which id is asked for, and where, is each objective's own.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mot_lightning.objectives.base import Objective
from mot_lightning.objectives.codebook import CodebookEmbedding
from mot_lightning.sequence import Tokens


class Ids(Objective):
    """Ids in, a distribution over ids out.

    Label smoothing and z-loss belong to training: validation and test score plain cross-entropy, in nats.

    Args:
        tie: whether one table both embeds and predicts the ids (arXiv 1608.05859); embeddings are then its rows times
            sqrt(dim), as in the first transformer (arXiv 1706.03762, section 3.4).
        label_smoothing: share of the target's probability that is spread over all ids (arXiv 1512.00567, section 7).
        z_loss: weight of log(Z)^2, the squared logarithm of the softmax's normaliser (PaLM, arXiv 2204.02311,
            section 5: 1e-4).
        max_logits: the most logits that exist at once. Beyond it rows go through the head chunk by chunk, each
            recomputed in the backward pass.
        lookup: what embeds an id: "table" its row of a table, "codebook" a linear map of what it stands for in its
            codec, as in VAR (arXiv 2404.02905). Ids that stand for nearly the same are then read alike, as they
            should be where media are too few to learn each id's meaning from. Stop and control ids have a table.
    """

    discrete = True

    def __init__(
        self,
        tie: bool = False,
        label_smoothing: float = 0.0,
        z_loss: float = 0.0,
        max_logits: int = 2**25,
        lookup: Literal["table", "codebook"] = "table",
    ) -> None:
        super().__init__()
        for name, value, wanted, fits in (
            ("label_smoothing", label_smoothing, "a share from 0 to below 1", 0 <= label_smoothing < 1),
            ("z_loss", z_loss, "0 or more", z_loss >= 0),
            ("max_logits", max_logits, "at least 1", max_logits >= 1),
        ):
            if not fits:
                raise ValueError(f"{name} is {value}, wanted {wanted}")
        if lookup not in ("table", "codebook"):
            raise ValueError(f"lookup is {lookup!r}, wanted 'table' or 'codebook'")
        if tie and lookup == "codebook":
            raise ValueError("lookup is 'codebook' and tie is true, wanted one of them: a tied table embeds by itself")
        self.tie, self.label_smoothing, self.z_loss, self.max_logits = tie, label_smoothing, z_loss, max_logits
        self.lookup = lookup

    def build(self, dim: int, tokens: Tokens) -> None:
        assert tokens.vocab_size is not None
        self.tokens = tokens
        self.scale = dim**0.5 if self.tie else 1.0
        table = self.lookup == "table"
        self.embedding = nn.Embedding(tokens.vocab_size, dim) if table else CodebookEmbedding(dim, tokens)
        self.head = nn.Linear(dim, tokens.vocab_size, bias=False)
        if self.tie:
            self.embedding.weight = self.head.weight  # type: ignore[assignment]

    def meet(self, codebook: Tensor | None) -> None:
        if isinstance(self.embedding, CodebookEmbedding):
            assert codebook is not None
            self.embedding.meet(codebook)

    def _embed(self, ids: Tensor) -> Tensor:
        return self.embedding(ids) * self.scale if self.tie else self.embedding(ids)  # (..., d)

    def cross_entropy(self, hidden: Tensor, target: Tensor) -> Tensor:
        """(t,) from hidden states (t, d) and ids (t,), with at most `max_logits` logits at a time."""
        rows = max(1, self.max_logits // self.head.out_features)
        if len(hidden) <= rows:
            return self._score(hidden, target)
        parts = zip(hidden.split(rows), target.split(rows), strict=True)
        return torch.cat(
            [checkpoint(self._score, *part, use_reentrant=False, preserve_rng_state=False) for part in parts]
        )

    def _score(self, hidden: Tensor, target: Tensor) -> Tensor:
        logits = self.head(hidden).float()  # (t, v)
        if not self.training:
            return F.cross_entropy(logits, target, reduction="none")
        loss = F.cross_entropy(logits, target, reduction="none", label_smoothing=self.label_smoothing)
        return loss + self.z_loss * logits.logsumexp(-1).square() if self.z_loss else loss  # (t,)
