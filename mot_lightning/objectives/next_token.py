"""Next-token prediction: ids are predicted one by one from all that precedes them (text, speech units, control)."""

from dataclasses import replace

import torch
from torch import Tensor

from mot_lightning.objectives.base import Context, Request, View
from mot_lightning.objectives.drawing import draw
from mot_lightning.objectives.ids import Ids
from mot_lightning.sequence import Part


class NextToken(Ids):
    """Cross-entropy of the next id.

    Args:
        tie: whether one table both embeds and predicts the ids.
        label_smoothing: share of the target's probability that is spread over all ids, in training.
        z_loss: weight of the squared logarithm of the softmax's normaliser, in training (PaLM: 1e-4).
        max_logits: the most logits that exist at once; beyond it the head works chunk by chunk.
        lookup: what embeds an id: "table" a row of a table, "codebook" what it stands for in its codec (`Ids`).
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
        r, device = len(request.generators), context.last.device
        tokens: list[Tensor] = []
        running = torch.ones(r, dtype=torch.bool, device=device)
        seen = torch.zeros(r, stop + 1, dtype=torch.bool, device=device)
        for _ in range(request.max_length):
            logits = request.guide(self.head(context.last)[:, : stop + 1].float())  # (r, stop + 1)
            # only rows that still write draw, so that no sample depends on how long the others are
            rows = running.nonzero()[:, 0]
            own = replace(request, generators=[request.generators[i] for i in rows.tolist()])
            chosen = torch.full((r,), stop, device=device)
            chosen[rows] = draw(logits[rows], own, seen[rows])
            running = running & (chosen != stop)
            if request.progress is not None:
                request.progress([id if id != stop else None for id in chosen.tolist()])
            if not running.any():
                break
            tokens.append(torch.where(running, chosen, -1))
            seen[torch.arange(r, device=device), chosen] = True
            context.append(request.both(self._embed(chosen)[:, None]), counts=request.both(running.long()))
        else:
            if request.progress is not None:
                request.progress([None] * r)
        written = torch.stack(tokens, 1) if tokens else context.last.new_empty(r, 0, dtype=torch.long)
        return [row[row >= 0] for row in written]
