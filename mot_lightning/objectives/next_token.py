"""Next-token prediction: ids are predicted one by one from all that precedes them (text, speech units, control)."""

from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mot_lightning.noise import Noise
from mot_lightning.objectives.base import Context, Embedded, Embeddings, Request, RowsOfIds
from mot_lightning.objectives.discrete import DiscreteObjective
from mot_lightning.objectives.sampling import sample_ids
from mot_lightning.sequence import Ids, ModalityBatch


class NextToken(DiscreteObjective):
    """Cross-entropy of the next id.

    Args:
        tie: whether one table both embeds and predicts the ids.
        label_smoothing: probability of the target that is spread over all ids, in training.
        z_loss: weight of the squared logarithm of the softmax's normaliser, in training (PaLM: 1e-4).
        max_logits: maximum number of logits computed at a time; for more, the head is applied in chunks.
        lookup, embedding_scale: how ids are embedded, as in `DiscreteObjective`.
        decouple_control: whether control ids have tables of their own, as in `DiscreteObjective`.
    """

    causal = True

    def embed(self, part: ModalityBatch, noise: Noise) -> Embedded:
        return Embedded(self._embed(part.tokens), part.target)  # (n, d), (t,)

    def embed_clean(self, tokens: RowsOfIds) -> tuple[Embeddings, None]:
        return self._embed(tokens), None  # (r, n, d)

    def loss(self, hidden: Float[Tensor, "t d"], embedded: Embedded) -> Float[Tensor, " t"]:
        return self.cross_entropy(hidden, embedded.target)  # (t,)

    def choose(
        self, hidden: Float[Tensor, "r d"], ids: slice | Int[Tensor, " v"], request: Request
    ) -> Int[Tensor, " r"]:
        """Sample one id for each hidden state, among `ids`."""
        logits = self.logits(hidden).float()  # (r, v)
        candidates = torch.arange(logits.shape[1], device=hidden.device)[ids]
        return candidates[sample_ids(logits[:, candidates], request)]  # (r,)

    def sample(self, context: Context, request: Request) -> list[Ids]:
        stop = request.stop
        assert stop is not None, "the grammar gives every modality learned by NextToken a stop id"
        r, device = len(request.generators), context.last.device
        sampled: list[list[int]] = [[] for _ in range(r)]
        seen = torch.zeros(r, self.content_ids, dtype=torch.bool, device=device)
        for row, ids in enumerate(request.prefixes):
            seen[row, ids] = True
        rows, active_request = list(range(r)), request  # sequences that have not ended, and their generators
        for _ in range(request.max_length):
            logits = request.guide(self.head(context.last)[:, : self.content_ids].float())  # (r, content ids)
            # ended sequences sample no more, so that their generators do not depend on the lengths of others
            active = slice(None) if len(rows) == r else rows
            ids = sample_ids(logits[active], active_request, seen[active])
            id_of = dict(zip(rows, ids.tolist(), strict=True))  # the only device synchronisation of a step
            rows = [row for row, id in id_of.items() if id != stop]
            if request.progress is not None:
                request.progress([id_of[row] if row in rows else None for row in range(r)])
            if not rows:
                break
            counts = None
            if len(rows) < r:
                active_request = replace(request, generators=[request.generators[row] for row in rows])
                ids = torch.tensor([id_of.get(row, stop) for row in range(r)], device=device)
                counts = request.both(torch.tensor([int(row in rows) for row in range(r)], device=device))
            for row in rows:
                sampled[row].append(id_of[row])
            if request.repetition_penalty != 1:
                seen.scatter_(1, ids[:, None], True)
            context.append(request.both(self._embed(ids)[:, None]), counts=counts)
        else:
            if request.progress is not None:
                request.progress([None] * r)
        return [torch.tensor(row_ids, dtype=torch.long, device=device) for row_ids in sampled]
