"""A claim that a suite judges."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Claim:
    """That s of an arm in a modality is below, or above, a number or that of another arm or modality.

    Attributes:
        claim: in words.
        size: at which size, where the suite has several.
        below, above: a number, or `{arm: ..., modality: ...}`, of which one may be left out. One of the two is given.
    """

    claim: str
    arm: str
    modality: str
    size: str = ""
    below: float | Mapping[str, str] | None = None
    above: float | Mapping[str, str] | None = None

    @property
    def bound(self) -> float | tuple[str, str]:
        """What s is compared with: a number, or arm and modality."""
        bound = self.below if self.above is None else self.above
        if isinstance(bound, Mapping):
            return bound.get("arm", self.arm), bound.get("modality", self.modality)
        return float(bound)  # type: ignore[arg-type]
