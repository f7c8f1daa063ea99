"""Settings of generation: their defaults, and whether they fit the modalities of a model."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from mot_lightning.config.checked import checked
from mot_lightning.errors import require
from mot_lightning.sequence import Grammar

DEFAULT_GUIDANCE = 2.0


@checked("")
@dataclass(frozen=True)
class GenerationSettings:
    """How to continue prompts.

    Attributes:
        modalities: modalities of the segments to generate, in order; empty lets the model choose until it ends the
            document.
        max_segments: maximum number of segments, if the model chooses.
        max_length: maximum new tokens of a segment with a stop id.
        temperature: of ids and of the choice of modality; 0 takes the likeliest.
        top_p: probability mass of nucleus sampling (arXiv 1904.09751); 1 is all.
        guidance: classifier-free guidance scale; 1 is no guidance. A number applies to all bidirectional modalities, a
            mapping to the modalities that it names, causal ones too. None is 2 for each bidirectional modality that
            was trained unconditionally.
        seed: seed of all sampling; a sample does not depend on the others of its batch.
        top_k: number of likeliest ids to sample from; 0 is all.
        min_p: minimum probability of an id, relative to the likeliest (arXiv 2407.01082).
        repetition_penalty: penalty of ids already in the segment, also in the prompt that it continues (CTRL, arXiv
            1909.05858); 1 is no penalty.
        lengths: tokens of a segment, by modality, in place of the length that its begin token gives.
        continue_final_segment: whether the first new segment goes on in the prompt's last one, as in transformers'
            `continue_final_message`. It holds the new tokens only, and counts in `modalities` and `max_segments`.
    """

    modalities: tuple[str, ...] = ()
    max_segments: int = 4
    max_length: int = 256
    temperature: float = 0.5
    top_p: float = 0.95
    guidance: float | Mapping[str, float] | None = None
    seed: int = 0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    lengths: Mapping[str, int] = field(default_factory=dict)
    continue_final_segment: bool = False

    def __post_init__(self) -> None:
        require("max_segments", self.max_segments, "at least 1", self.max_segments >= 1)
        require("max_length", self.max_length, "at least 1", self.max_length >= 1)
        require("temperature", self.temperature, "0 or more, and finite", 0 <= self.temperature < math.inf)
        require("seed", self.seed, "0 or more", self.seed >= 0)
        require("top_k", self.top_k, "0 (all) or more", self.top_k >= 0)
        require("top_p", self.top_p, "above 0, up to 1", 0 < self.top_p <= 1)
        require("min_p", self.min_p, "from 0 to 1", 0 <= self.min_p <= 1)
        penalty = self.repetition_penalty
        require("repetition_penalty", penalty, "above 0, and finite", 0 < penalty < math.inf)
        by_name = self.guidance if isinstance(self.guidance, Mapping) else {"": self.guidance}
        for name, scale in by_name.items():
            if scale is not None:
                require(f"guidance{name and f' of {name}'}", scale, "a number of 0 or more", 0 <= scale < math.inf)

    def scale(self, name: str, causal: bool) -> float:
        """The guidance scale of one modality; 1 if guidance is None, which only a pipeline resolves."""
        if isinstance(self.guidance, Mapping):
            return self.guidance.get(name, 1.0)
        return 1.0 if causal or self.guidance is None else self.guidance

    def most_tokens(self, grammar: Grammar) -> int:
        """The maximum number of new tokens of a document, control tokens included."""
        longest = {}
        for name in grammar.predicted:
            kind = grammar.tokens[name]
            known = self.lengths.get(name, kind.length or kind.max_length)
            longest[name] = 2 + (known if grammar.stop(name) is None and known else self.max_length)
        chosen = [longest[name] for name in self.modalities] or [max(longest.values())] * self.max_segments
        return sum(chosen)

    def check(self, grammar: Grammar) -> None:
        """Raises ValueError if a setting does not fit the modalities."""
        for setting in ("modalities", "guidance", "lengths"):
            value = getattr(self, setting)
            names = {*value} if isinstance(value, Collection) else set()
            for name in sorted(names - {*grammar.predicted}):
                only_read = " (it is only observed)" if name in grammar.observed else ""
                known = ", ".join(grammar.predicted)
                raise ValueError(f"{setting} names {name!r}{only_read}, wanted some of {known}")
        if (
            isinstance(self.guidance, int | float)
            and self.guidance != 1
            and all(map(grammar.causal.get, grammar.predicted))
        ):
            options = " or ".join(f"guidance of {name}" for name in grammar.predicted)
            raise ValueError(f"guidance is {self.guidance}, wanted {options}: no modality is bidirectional")
        for name, length in self.lengths.items():
            if grammar.stop(name) is not None:
                raise ValueError(f"lengths has {name}: {length}, wanted none, as a stop id ends it: see max_length")
            if length < 1:
                raise ValueError(f"lengths has {name}: {length}, wanted at least 1")
            grammar.check_length(name, length)
        for name in self.modalities or grammar.predicted:
            fixed = grammar.tokens[name].length or grammar.stop(name) is not None or grammar.sizes[name]
            if not fixed and name not in self.lengths:
                raise ValueError(
                    f"lengths has no {name}, wanted its number of tokens: no shape, stop id or begin token gives it"
                )
