"""Masked-token prediction, a diffusion whose noise is a mask (MaskGIT, arXiv 2202.04200; Show-o, arXiv 2408.12528)."""

import math
from typing import Literal

import torch
from torch import Tensor, nn

from mot_lightning.objectives.base import Context, Request, View, places
from mot_lightning.objectives.drawing import draw
from mot_lightning.objectives.ids import Ids
from mot_lightning.sequence import Part, Tokens


class MaskedToken(Ids):
    """A share of a segment's ids is masked, and all of them are predicted at once from those that are left.

    A masked id's loss is divided by the share that is masked, and the others have none: the mean over all ids of a
    segment is the mean over its masked ones. With the linear schedule it bounds the negative log-likelihood, in nats
    an id (MDLM, arXiv 2406.07524, eq. 10; arXiv 2110.02037, eq. 5); the cosine leans to many masks, as sampling does.

    Args:
        schedule: the share of masks at u, uniform in training, and going evenly from 0 to 1 in sampling:
            "cosine" is cos(pi u / 2), "linear" is 1 - u.
        steps: sampling steps.
        choice_temperature: scale of the Gumbel noise on confidences, which falls to 0 with the steps.
        tie: whether one table both embeds and predicts the ids.
        label_smoothing: share of the target's probability that is spread over all ids, in training.
        z_loss: weight of the squared logarithm of the softmax's normaliser, in training.
        max_logits: the most logits that exist at once in a loss; beyond it the head works chunk by chunk.
        lookup: what embeds an id: "table" a row of a table, "codebook" what it stands for in its codec (`Ids`).
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
        if schedule not in ("cosine", "linear"):
            raise ValueError(f"schedule is {schedule!r}, wanted 'cosine' or 'linear'")
        if steps < 1:
            raise ValueError(f"steps is {steps}, wanted at least 1")
        if choice_temperature < 0:
            raise ValueError(f"choice_temperature is {choice_temperature}, wanted 0 or more")
        self.schedule, self.steps, self.choice_temperature = schedule, steps, choice_temperature

    def build(self, dim: int, tokens: Tokens) -> None:
        super().build(dim, tokens)
        self.mask = nn.Embedding(1, dim)
        longest = tokens.length or tokens.max_length
        self.place = nn.Embedding(longest, dim) if longest else None  # masks look all alike

    def share(self, u: Tensor) -> Tensor:
        """The share of a segment that is masked, from 1 at u = 0 to 0 at u = 1."""
        return (math.pi / 2 * u).cos() if self.schedule == "cosine" else 1 - u

    def draw_mask(self, part: Part, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Which tokens are masked (n,), and the share of each segment that is (k,): at most its noise cap."""
        k, device = len(part.loss), part.tokens.device
        score, u = (torch.rand(n, generator=generator, device=device) for n in (len(part.tokens), k))
        place, size = places(part)
        most = (part.noise_cap * size).floor()
        count = (self.share(u) * most).ceil() * part.loss  # (k,), at least 1 where the cap leaves one
        order = (part.segment + score.double()).argsort()  # segment by segment, in each at random
        rank = torch.empty_like(place).index_copy(0, order, place)  # the order keeps segments where they are
        return rank < count[part.segment], count / size.clamp(min=1)

    def embed(self, part: Part, generator: torch.Generator) -> View:
        masked, share = self.draw_mask(part, generator)  # (n,), (k,)
        weight = masked / share[part.segment].where(masked, 1.0)  # (n,)
        return View(self._embed_masked(part.tokens, masked, places(part)[0]), part.target, weight=weight)

    def _embed_masked(self, ids: Tensor, masked: Tensor, place: Tensor) -> Tensor:
        embedding = torch.where(masked[..., None], self.mask.weight[0], self._embed(ids))  # (..., n, d)
        return embedding if self.place is None else embedding + self.place(place)

    def _embed_rows(self, ids: Tensor, masked: Tensor) -> Tensor:
        return self._embed_masked(ids, masked, torch.arange(ids.shape[1], device=ids.device))  # (r, n, d)

    def embed_clean(self, tokens: Tensor) -> tuple[Tensor, None]:
        return self._embed_rows(tokens, torch.zeros_like(tokens, dtype=torch.bool)), None  # (r, n, d)

    def loss(self, hidden: Tensor, view: View) -> Tensor:
        assert view.weight is not None
        return self.cross_entropy(hidden, view.target) * view.weight  # (t,)

    def predict(self, context: Context, ids: Tensor, masked: Tensor) -> Tensor:
        """Logits (r, n, v) of all ids (r, n) of which some are masked, given a context."""
        return self.head(context.peek(self._embed_rows(ids, masked))).float()

    def sample(self, context: Context, request: Request) -> list[Tensor]:
        """All ids are drawn at every step, and those least sure are masked again (MaskGIT, section 3.2)."""
        n, device = request.length, context.last.device
        assert n is not None
        ids = torch.zeros(len(request.generators), n, dtype=torch.long, device=device)  # (r, n)
        masked = torch.ones_like(ids, dtype=torch.bool)
        left, steps = n, min(self.steps, n)
        for step in range(1, steps + 1):
            # guided on logits, as in Muse (arXiv 2301.00704)
            logits = request.guide(self.predict(context, request.both(ids), request.both(masked)))  # (r, n, v)
            ids = torch.where(masked, draw(logits, request), ids)
            # every step settles one id at least, and leaves one for each step to come
            wanted = int(n * self.share(torch.tensor(step / steps, dtype=torch.float64)))
            left = min(max(wanted, steps - step), left - 1)
            sure = logits.log_softmax(-1).gather(-1, ids[..., None])[..., 0]  # (r, n)
            if request.temperature > 0:
                noise = [torch.empty(n, device=device).exponential_(generator=g) for g in request.generators]
                sure = sure - self.choice_temperature * (1 - step / steps) * torch.stack(noise).log()  # Gumbel
            sure = sure.masked_fill(~masked, math.inf)
            masked = torch.zeros_like(masked).scatter(1, sure.topk(left, largest=False).indices, True)
        return list(ids)
