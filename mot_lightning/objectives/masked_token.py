"""Masked-token prediction, a diffusion whose noise is a mask (MaskGIT, arXiv 2202.04200; Show-o, arXiv 2408.12528)."""

import math
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mot_lightning.errors import require
from mot_lightning.noise import Noise
from mot_lightning.objectives.base import Context, Embedded, Embeddings, Request, RowsOfIds, positions_in_segment
from mot_lightning.objectives.discrete import DiscreteObjective
from mot_lightning.objectives.sampling import sample_ids
from mot_lightning.sequence import Ids, ModalityBatch, Tokens


class MaskedToken(DiscreteObjective):
    """A fraction of a segment's ids is masked, and all masked ids are predicted at once from the others.

    The loss of a masked id is divided by the mask ratio, that of other ids is 0, so that the mean over all ids of a
    segment equals the mean over its masked ones. With the linear schedule it bounds the negative log-likelihood, in
    nats per id (MDLM, arXiv 2406.07524, eq. 10; arXiv 2110.02037, eq. 5). The cosine schedule favours high mask ratios,
    as sampling does.

    Args:
        schedule: mask ratio at u, which is uniform in training and rises evenly from 0 to 1 in sampling:
            "cosine" is cos(pi u / 2), "linear" is 1 - u.
        steps: sampling steps.
        choice_temperature: scale of the Gumbel noise on confidences, which falls linearly to 0 over the steps.
        tie: whether one table both embeds and predicts the ids.
        label_smoothing: probability of the target that is spread over all ids, in training.
        z_loss: weight of the squared logarithm of the softmax's normaliser, in training.
        max_logits: maximum number of logits of a loss computed at a time; for more, the head is applied in chunks.
        lookup: how ids are embedded, as in `DiscreteObjective`.
    """

    causal = False

    def __init__(
        self,
        schedule: Literal["cosine", "linear"] = "cosine",
        steps: int = 12,
        choice_temperature: float = 4.5,
        tie: bool = False,
        label_smoothing: float = 0.0,
        z_loss: float = 0.0,
        max_logits: int = 2**25,
        lookup: Literal["table", "codebook"] = "table",
    ) -> None:
        super().__init__(tie, label_smoothing, z_loss, max_logits, lookup)
        require("schedule", schedule, "'cosine' or 'linear'", schedule in ("cosine", "linear"))
        require("steps", steps, "at least 1", steps >= 1)
        require("choice_temperature", choice_temperature, "0 or more", choice_temperature >= 0)
        self.schedule, self.steps, self.choice_temperature = schedule, steps, choice_temperature

    def build(self, dim: int, tokens: Tokens) -> None:
        super().build(dim, tokens)
        self.mask = nn.Embedding(1, dim)
        longest = tokens.length or tokens.max_length
        self.position_embedding = nn.Embedding(longest, dim) if longest else None  # masks differ only by it

    def mask_ratio(self, u: Float[Tensor, "*of"]) -> Float[Tensor, "*of"]:
        """The fraction of a segment that is masked, from 1 at u = 0 to 0 at u = 1."""
        return (math.pi / 2 * u).cos() if self.schedule == "cosine" else 1 - u

    def sample_mask(self, part: ModalityBatch, noise: Noise) -> tuple[Tensor, Tensor]:
        """Which tokens are masked (n,), and the mask ratio of each segment (k,), at most its noise cap."""
        score, u = noise.token_uniform(), noise.uniform()  # (n,), (k,)
        position, size = positions_in_segment(part)
        limit = (part.noise_cap * size).floor()
        count = (self.mask_ratio(u) * limit).ceil() * part.loss  # (k,), at least 1 unless the cap forbids it
        order = (part.segment + score.double()).argsort(stable=True)  # (n,) segments in order, their tokens at random
        shuffled = torch.empty_like(position).index_copy(0, order, position)  # positions, within each segment
        return shuffled < count[part.segment], count / size.clamp(min=1)

    def embed(self, part: ModalityBatch, noise: Noise) -> Embedded:
        masked, ratio = self.sample_mask(part, noise)  # (n,), (k,)
        weight = masked / ratio[part.segment].where(masked, 1.0)  # (n,)
        return Embedded(
            self._embed_masked(part.tokens, masked, positions_in_segment(part)[0]), part.target, weight=weight
        )

    def _embed_masked(self, ids: Tensor, masked: Tensor, position: Tensor) -> Tensor:
        embedding = torch.where(masked[..., None], self.mask.weight[0], self._embed(ids))  # (..., n, d)
        return embedding if self.position_embedding is None else embedding + self.position_embedding(position)

    def _embed_rows(self, ids: Tensor, masked: Tensor) -> Tensor:
        return self._embed_masked(ids, masked, torch.arange(ids.shape[1], device=ids.device))  # (r, n, d)

    def embed_clean(self, tokens: RowsOfIds) -> tuple[Embeddings, None]:
        return self._embed_rows(tokens, torch.zeros_like(tokens, dtype=torch.bool)), None  # (r, n, d)

    def loss(self, hidden: Float[Tensor, "t d"], embedded: Embedded) -> Float[Tensor, " t"]:
        assert embedded.weight is not None
        return self.cross_entropy(hidden, embedded.target) * embedded.weight  # (t,)

    def predict(self, context: Context, ids: RowsOfIds, masked: Bool[Tensor, "r n"]) -> Float[Tensor, "r n v"]:
        """Logits of all ids, some of which are masked, in a context."""
        return self.head(context.peek(self._embed_rows(ids, masked))).float()

    def sample(self, context: Context, request: Request) -> list[Ids]:
        """All masked ids are sampled at every step, and the least confident are masked again (MaskGIT, section 3.2)."""
        n, device = request.length, context.last.device
        assert n is not None
        ids = torch.zeros(len(request.generators), n, dtype=torch.long, device=device)  # (r, n)
        masked = torch.ones_like(ids, dtype=torch.bool)
        remaining, steps = n, min(self.steps, n)
        for step in range(1, steps + 1):
            # guided on logits, as in Muse (arXiv 2301.00704)
            logits = request.guide(self.predict(context, request.both(ids), request.both(masked)))  # (r, n, v)
            ids = torch.where(masked, sample_ids(logits, request), ids)
            # every step unmasks at least one id, and leaves at least one for each later step
            scheduled = int(n * self.mask_ratio(torch.tensor(step / steps, dtype=torch.float64)))
            remaining = min(max(scheduled, steps - step), remaining - 1)
            confidence = logits.log_softmax(-1).gather(-1, ids[..., None])[..., 0]  # (r, n)
            if request.temperature > 0:
                noise = [torch.empty(n, device=device).exponential_(generator=g) for g in request.generators]
                scale = self.choice_temperature * (1 - step / steps)
                confidence = confidence - scale * torch.stack(noise).log()  # Gumbel
            confidence = confidence.masked_fill(~masked, math.inf)
            masked = torch.zeros_like(masked).scatter(1, confidence.topk(remaining, largest=False).indices, True)
        return list(ids)
