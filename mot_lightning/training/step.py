"""One optimizer step: the sums of its batches, and whose loss is to blame if it cannot be taken."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from mot_lightning.model import Losses
from mot_lightning.sequence import InterleavedBatch
from mot_lightning.training.losses import LossWeights, Sums


class OptimizerStep:
    """What the batches of a step have in common, so that many small batches give the gradient of one large one."""

    def __init__(self) -> None:
        self.sums = torch.zeros(())  # of all batches so far, (m, 5)
        self.by_source: Tensor | None = None  # the same by source, (sources, m, 2), if there are several
        self.targets = torch.zeros(())  # divisors of the losses: targets of the whole step over all ranks, (m,)
        self.scale = 1.0  # of a loss that is averaged over the batches of the step: Lightning divides by all it wants
        self._losses: list[tuple[InterleavedBatch, dict[str, Tensor]]] = []

    def add(
        self, batch: InterleavedBatch, losses: Mapping[str, Losses], sums: Sums, weights: LossWeights, trainer: Any
    ) -> None:
        """Add a batch.

        Raises:
            ValueError: gradients accumulate, and the batch does not know its step.
        """
        step, accumulated, stacked = batch.step, trainer.accumulate_grad_batches, sums.stack().detach()
        if step is None and accumulated > 1:
            raise ValueError(
                f"Trainer.accumulate_grad_batches is {accumulated}, wanted 1 with dataloaders: "
                "the batches of a datamodule know the targets of their step"
            )
        if step is None or step.position == 0:
            targets = sums.targets.detach().clone()
            if step is not None and step.batches > 1:
                targets = targets.new_tensor(weights.targets(step))
            self.targets = trainer.strategy.reduce(targets, reduce_op="sum")
            self.scale = accumulated / (step.batches if step else 1)
            self.sums, self.by_source, self._losses = stacked, sums.by_source, []
        else:
            self.sums = self.sums + stacked
            if sums.by_source is not None and self.by_source is not None:
                self.by_source = self.by_source + sums.by_source
        self._losses.append((batch, {name: one.loss.detach() for name, one in losses.items()}))

    def culprits(self) -> str:
        """The modalities whose loss is NaN or infinite, and the first documents where it is; "" if there is none."""
        documents: dict[str, list[int]] = {}
        for batch, losses in self._losses:
            for name, document in _not_finite(batch, losses):
                documents.setdefault(name, []).append(document)
        return ", ".join(f"the loss of {name} in document {_few(numbers)}" for name, numbers in documents.items())


def _not_finite(batch: InterleavedBatch, losses: Mapping[str, Tensor]) -> Iterator[tuple[str, int]]:
    """Modality and document of tokens that are not finite, or else of losses that are not."""
    document = batch.layout.document.flatten()[batch.layout.slot]  # (N,)
    first, of_tokens, of_losses = 0, [], []
    for name, part in batch.by_modality.items():
        rows = (~part.tokens.isfinite()).reshape(len(part.tokens), -1).any(1).nonzero()[:, 0]
        of_tokens += [(name, index) for index in document[first + rows].unique().tolist()]
        of_losses += [(name, index) for index in document[part.read_at[~losses[name].isfinite()]].unique().tolist()]
        first += len(part.tokens)
    for name, index in of_tokens or of_losses:  # masked attention spreads NaN over the documents of a row
        number = index if batch.pieces is None else int(batch.pieces[index])
        yield name, number if batch.step is None else int(batch.step.numbers[number])


def _few(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers[:3])) + (f" and {len(numbers) - 3} more" if len(numbers) > 3 else "")
