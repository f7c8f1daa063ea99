"""The weights of a mixture's sources from some training document on."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mot_lightning.config.checked import checked


@checked("data.curriculum")
@dataclass(frozen=True)
class Phase:
    """Weights of sources from some training document on.

    Attributes:
        start: training documents before, over all ranks; of the first phase, 0.
        weights: of each source; one without a weight has 0.
        linear: whether weights change linearly from these to those of the next phase, in 64 steps; else at once.
    """

    start: int
    weights: Mapping[str, float]
    linear: bool = False

    def check(self, names: Sequence[str]) -> None:
        """Raises ValueError if a weight is of no source, or is no number from 0, or all are 0."""
        for name, weight in self.weights.items():
            if name not in names or not 0 <= weight < math.inf:
                raise ValueError(f"data.weights has {name}: {weight}, wanted some of {', '.join(names)}, each from 0")
        if not any(self.weights.values()):
            raise ValueError(f"data.weights is {dict(self.weights)}, wanted a weight above 0")
