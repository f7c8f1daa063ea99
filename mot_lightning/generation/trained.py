"""What a model was trained on, and so what may be asked of it. Knows documents and settings, not weights."""

from collections.abc import Sequence
from typing import NamedTuple

from mot_lightning.generation.generate import GenerationSettings
from mot_lightning.sequence import Grammar, Segment


class Trained(NamedTuple):
    """Bounds that training sets to generation; travels in the checkpoint.

    Attributes:
        row_length: tokens of the longest document.
        alone: modalities that were learned also without what precedes them, as guidance needs it.
    """

    row_length: int
    alone: tuple[str, ...]

    def and_then(self, later: "Trained") -> "Trained":
        """The bounds of a run that went on with other data: what it had learned, it still may be asked."""
        return Trained(max(self.row_length, later.row_length), tuple(sorted({*self.alone, *later.alone})))

    def check(self, grammar: Grammar, prompts: Sequence[Sequence[Segment]], settings: GenerationSettings) -> None:
        """Raises ValueError where a prompt is longer than any document was, or guidance has nothing to stand on."""
        for number, prompt in enumerate(prompts):
            if (length := grammar.length(prompt)) > self.row_length:
                most = f"at most {self.row_length}, the data.row_length of the run"
                raise ValueError(f"prompt {number} has {length} tokens, wanted {most}")
        for name in settings.modalities or grammar.names:
            scale = settings.scale(name, grammar.causal[name])
            if scale != 1 and name not in self.alone:
                learned = f"only {', '.join(self.alone)} was learned" if self.alone else "nothing was learned"
                raise ValueError(
                    f"guidance of {name} is {scale:g}, wanted 1: {learned} without a prompt (data.condition_dropout)"
                )
