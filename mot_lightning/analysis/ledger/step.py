"""What a training step costs: tokens and FLOPs of each modality, the mean over real batches."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mot_lightning.analysis.ledger.flops import Cost, costs
from mot_lightning.model import MixtureOfTransformers
from mot_lightning.sequence import InterleavedBatch


@dataclass(frozen=True)
class StepCost:
    """What an optimizer step costs.

    Attributes:
        by_modality: what a token costs.
        tokens: of a step, by modality; a control token is one of the modality that predicts it.
    """

    by_modality: Mapping[str, Cost]
    tokens: Mapping[str, float]

    def flops_of(self, name: str) -> float:
        """FLOPs of the forward and backward passes of a modality, without what is computed again."""
        return self.tokens.get(name, 0) * self.by_modality[name].training_flops

    @property
    def flops(self) -> float:
        """Of all modalities."""
        return sum(map(self.flops_of, self.by_modality))

    @property
    def layer_flops(self) -> float:
        """FLOPs of the layers' forward passes, which activation checkpointing adds."""
        return sum(self.tokens.get(name, 0) * cost.layer_flops for name, cost in self.by_modality.items())

    @property
    def active_parameters(self) -> float:
        """The mean over tokens."""
        of_tokens = sum(self.tokens.get(name, 0) * cost.parameters for name, cost in self.by_modality.items())
        return of_tokens / max(1, sum(self.tokens.values()))


def step_cost(model: MixtureOfTransformers, batches: Sequence[InterleavedBatch], per_step: int = 1) -> StepCost:
    """The mean over batches.

    Args:
        per_step: batches of a step, of all ranks.
    """
    tokens, sums = Counter[str](), dict[str, list[float]]()
    for batch in batches:
        for name, cost in costs(model, batch).items():
            tokens[name] += (n := len(batch.by_modality[name].tokens))
            sums[name] = [total + n * each for total, each in zip(sums.get(name, [0] * len(cost)), cost, strict=True)]
    means = {name: [total / tokens[name] for total in totals] for name, totals in sorted(sums.items())}
    return StepCost(
        {name: Cost(round(active), *rest) for name, (active, *rest) in means.items()},
        {name: per_step * tokens[name] / len(batches) for name in means},
    )
