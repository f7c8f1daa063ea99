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
        written: list[list[int]] = [[] for _ in range(r)]
        seen = torch.zeros(r, stop + 1, dtype=torch.bool, device=device)
        rows, own = list(range(r)), request  # those that still write, and how
        for _ in range(request.max_length):
            logits = request.guide(self.head(context.last)[:, : stop + 1].float())  # (r, stop + 1)
            # only rows that still write draw, so that no sample depends on how long the others are
            writing = slice(None) if len(rows) == r else rows
            ids = draw(logits[writing], own, seen[writing])
            drawn = dict(zip(rows, ids.tolist(), strict=True))  # the one wait for the device in a step
            rows = [row for row, id in drawn.items() if id != stop]
            if request.progress is not None:
                request.progress([drawn[row] if row in rows else None for row in range(r)])
            if not rows:
                break
            counts = None
            if len(rows) < r:
                own = replace(request, generators=[request.generators[row] for row in rows])
                ids = torch.tensor([drawn.get(row, stop) for row in range(r)], device=device)
                counts = request.both(torch.tensor([int(row in rows) for row in range(r)], device=device))
            for row in rows:
                written[row].append(drawn[row])
            if request.repetition_penalty != 1:
                seen.scatter_(1, ids[:, None], True)
            context.append(request.both(self._embed(ids)[:, None]), counts=counts)
        else:
            if request.progress is not None:
                request.progress([None] * r)
        return [torch.tensor(own, dtype=torch.long, device=device) for own in written]
