"""Which requests a model can serve, given its training. Knows documents and settings, not weights."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mot_lightning.generation.settings import GenerationSettings
from mot_lightning.sequence import Grammar, Segment


class GenerationLimits(NamedTuple):
    """Limits of generation that follow from training; saved in checkpoints.

    Attributes:
        row_length: maximum tokens of a training document.
        unconditional: modalities that were also trained unconditionally, as classifier-free guidance requires.
    """

    row_length: int
    unconditional: tuple[str, ...]

    def union(self, other: "GenerationLimits") -> "GenerationLimits":
        """The limits of a run resumed with other data: what either allows."""
        return GenerationLimits(
            max(self.row_length, other.row_length), tuple(sorted({*self.unconditional, *other.unconditional}))
        )

    def state_dict(self) -> dict[str, Any]:
        """As plain values."""
        return {"row_length": self.row_length, "unconditional": list(self.unconditional)}

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Any]) -> "GenerationLimits":
        return cls(state["row_length"], tuple(state["unconditional"]))

    def check(self, grammar: Grammar, prompts: Sequence[Sequence[Segment]], settings: GenerationSettings) -> None:
        """Raises ValueError if a prompt is too long, or a guided modality was not trained unconditionally."""
        for number, prompt in enumerate(prompts):
            self.check_length(f"prompt {number}", grammar.length(prompt))
        for name in settings.modalities or grammar.predicted:
            scale = settings.scale(name, grammar.causal[name])
            if scale != 1 and name not in self.unconditional:
                trained = f"only {', '.join(self.unconditional)}" if self.unconditional else "nothing"
                setting = "data.document_settings.condition_dropout"
                raise ValueError(
                    f"guidance of {name} is {scale:g}, wanted 1: {trained} was trained unconditionally ({setting})"
                )

    def check_length(self, name: str, length: int) -> None:
        """Raises ValueError if a prompt has more tokens than any training document."""
        if length > self.row_length:
            limit = f"at most {self.row_length}, the data.row_length of the run"
            raise ValueError(f"{name} has {length} tokens, wanted {limit}")
