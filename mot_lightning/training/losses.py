"""From unreduced losses to the loss of a step: sums by modality, then weight * sum / targets."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from mot_lightning.model import Losses
from mot_lightning.sequence import InterleavedBatch, ModalityBatch, Step

Reduction = Literal["token", "segment", "batch"]


class Sums(NamedTuple):
    """Sums of the losses of m modalities, which may be added over batches and ranks."""

    loss: Tensor  # (m,)
    targets: Tensor  # (m,) number of targets with a loss, or of their segments: the divisor of the loss
    content_loss: Tensor  # (m,) without control tokens
    content_targets: Tensor  # (m,) number of targets in content_loss
    content_bytes: Tensor  # (m,) bytes that these targets encode
    by_source: Tensor | None = None  # (sources, m, 2) loss and targets of the documents of each, if there are several

    @classmethod
    def unstack(cls, sums: Tensor) -> "Sums":
        """The sums in one tensor (m, 5), the inverse of `stack`."""
        return cls(*sums.unbind(1))

    def stack(self) -> Tensor:
        """One tensor (m, 5), to be reduced over ranks in one call."""
        return torch.stack(self[:5], dim=1)


@dataclass(frozen=True)
class LossWeights:
    """How the losses of all modalities are combined.

    Attributes:
        weights: weight of the mean loss of each modality.
        reduction: what the mean is taken over: the modality's targets ("token"), its segments ("segment"), or the
            targets of all modalities ("batch").
    """

    weights: Mapping[str, float]
    reduction: Reduction = "token"

    def sums(
        self, losses: Mapping[str, Losses], batch: InterleavedBatch, target_bytes: Mapping[str, Tensor] | None = None
    ) -> Sums:
        """Sums of a batch.

        Args:
            target_bytes: bytes that each target encodes, (t,), by modality; only for modalities measured in bytes.
        """
        rows, by_source = [], []
        for name in self.weights:
            part = batch.by_modality[name]
            loss, weight, content = losses[name]
            content_weight = weight * content
            size = (target_bytes or {}).get(name)
            size = part.target.new_zeros(()) if size is None else size
            if self.reduction == "segment":
                weight = weight * part.segment_weight
            if batch.sources is not None:
                by_source.append(_by_source(torch.stack([loss.detach() * weight, weight], 1), part, batch))
            rows.append(
                (
                    (loss * weight).sum(),
                    weight.sum(),
                    (loss * content_weight).sum(),
                    content_weight.sum(),
                    (size * content_weight).sum(),
                )
            )
        sums = Sums(*(torch.stack(column) for column in zip(*rows, strict=True)))
        return sums._replace(by_source=torch.stack(by_source, 1)) if by_source else sums

    def targets(self, step: Step) -> list[float]:
        """The divisors of the losses of a step, (m,): targets with a loss, or segments."""
        return [step.targets[name][self.reduction == "segment"] for name in self.weights]

    def total(self, loss: Tensor, targets: Tensor) -> Tensor:
        """The sum over modalities of weight * loss / targets, (m,) each; an absent modality adds zero."""
        targets = targets.sum() if self.reduction == "batch" else targets
        means = loss / torch.where(targets > 0, targets, 1)  # weights of segments may add up to less than 1
        weighted = (w * mean for w, mean in zip(self.weights.values(), means.unbind(), strict=True))
        return sum(weighted, means.new_zeros(()))


def _by_source(values: Tensor, part: ModalityBatch, batch: InterleavedBatch) -> Tensor:
    """Values of targets (t, 2), summed by the source of their documents, (sources, 2)."""
    assert batch.sources is not None
    document = batch.layout.document.flatten()[batch.layout.slot[part.read_at]]  # (t,)
    return values.new_zeros(len(batch.sources.names), 2).index_add_(0, batch.sources.of_document[document], values)
