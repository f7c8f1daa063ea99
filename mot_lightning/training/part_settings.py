"""How single towers and objectives learn, where they differ from the rest of the model."""

import math
from dataclasses import dataclass

from mot_lightning.config.checked import checked
from mot_lightning.errors import require


@checked("PartSettings")
@dataclass(frozen=True)
class PartSettings:
    """How one tower or objective learns.

    Attributes:
        freeze: whether its weights stay what they are; others still learn through them.
        learning_rate: at the peak, in place of the common one; None takes that.
        weight_decay: of its matrices, in place of the common one; None takes that.
    """

    freeze: bool = False
    learning_rate: float | None = None
    weight_decay: float | None = None

    def __post_init__(self) -> None:
        for name in ("learning_rate", "weight_decay"):
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, float(value))  # NumPy's numbers would not load in checkpoints

    def check(self, path: str) -> None:
        """Raises ValueError if a setting is out of range, or has no meaning beside another."""
        rate, decay = self.learning_rate, self.weight_decay
        require(f"{path}.learning_rate", rate, "a number above 0", rate is None or 0 < rate < math.inf)
        require(f"{path}.weight_decay", decay, "a number of 0 or more", decay is None or 0 <= decay < math.inf)
        for name, value in (("learning_rate", rate), ("weight_decay", decay)):
            require(f"{path}.{name}", value, "none where freeze is true", value is None or not self.freeze)


COMMON = PartSettings()
