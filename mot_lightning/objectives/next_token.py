"""Next-token prediction: ids are predicted one by one from all that precedes them (text, speech units, control)."""

from dataclasses import replace

import torch
from torch import Tensor

from mot_lightning.objectives.base import Context, Request, View
from mot_lightning.objectives.ids import Ids, draw
from mot_lightning.sequence import Part


class NextToken(Ids):
    """Cross-entropy of the next id.

    Args:
        tie: whether one table both embeds and predicts the ids.
        label_smoothing: share of the target's probability that is spread over all ids, in training.
        z_loss: weight of the squared logarithm of the softmax's normaliser, in training (PaLM: 1e-4).
        max_logits: the most logits that exist at once; beyond it the head works chunk by chunk.
    """

    causal = True

    def embed(self, part: Part, generator: torch.Generator) -> View:
        return View(self._embed(part.tokens), part.target)  # (n, d), (t,)

    def embed_clean(self, tokens: Tensor) -> tuple[Tensor, None]:
        return self._embed(tokens), None  # (r, n, d)

    def loss(self, hidden: Tensor, view: View) -> Tensor:
        return self.cross_entropy(hidden, view.target)  # (t,)

    def choose(self, hidden: Tensor, ids: slice | Tensor, request: Request) -> Tensor:
        """One id for each hidden state (r, d), among `ids`."""
        among = torch.arange(self.head.out_features, device=hidden.device)[ids]  # (v,)
        return among[draw(self.head(hidden).float()[:, among], request)]  # (r,)

    def sample(self, context: Context, request: Request) -> list[Tensor]:
        stop = request.stop
        assert stop is not None, "the grammar gives every modality learned by NextToken a stop id"
        tokens: list[Tensor] = []
        running = torch.ones(len(context.last), dtype=torch.bool, device=context.last.device)  # (r,)
        for _ in range(request.max_length):
            # only rows that still write draw, so that no sample depends on how long the others are
            rows = running.nonzero()[:, 0]
            own = replace(request, generators=[request.generators[i] for i in rows.tolist()])
            chosen = torch.full((len(running),), stop, device=running.device)  # (r,)
            chosen[rows] = self.choose(context.last[rows], slice(0, stop + 1), own)
            running = running & (chosen != stop)
            if not running.any():
                break
            tokens.append(torch.where(running, chosen, -1))
            context.append(self._embed(chosen)[:, None], counts=running.long())
        written = torch.stack(tokens, 1) if tokens else context.last.new_empty(len(running), 0, dtype=torch.long)
        return [row[row >= 0] for row in written]
