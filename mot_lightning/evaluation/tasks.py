"""What a cross-modal task is: prompts, what is to be made of them, and who judges it. Datamodules declare them."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn


@dataclass(frozen=True)
class Reference:
    """Real media that made ones are compared with as a distribution, through an embedded feature extractor.

    Attributes:
        name: of the extractor; it stands in the metric's name, "fid[name]".
        extractor: uint8 images (n, 3, h, w) -> features (n, num_features).
        media: real images, (c, h, w) in [0, 1] each.
    """

    name: str
    extractor: nn.Module
    media: Sequence[Tensor]


@dataclass(frozen=True)
class Task:
    """Prompts that are continued by one segment of a modality, and a judge of what comes.

    Attributes:
        name: the quantity it is logged as, `test/<target>/<name>`.
        title: as a table shows it, "text -> image".
        prompts: each a list of (modality, media).
        target: the modality to make.
        labels: what each made segment should be.
        judge: media -> what each is taken for.
        real: media of the target modality on which the judge's own accuracy is measured, and their labels.
        temperature: of discrete tokens; 0 takes the likeliest.
        max_length: the most tokens of a segment that a stop id ends.
        guided: whether classifier-free guidance applies; the task is then done with and without.
        reference: real media for a Frechet distance.
    """

    name: str
    title: str
    prompts: Sequence[Sequence[tuple[str, Any]]]
    target: str
    labels: Sequence[int]
    judge: Callable[[Sequence[Any]], Sequence[int]]
    real: tuple[Sequence[Any], Sequence[int]] | None = None
    temperature: float = 0.0
    max_length: int = 64
    guided: bool = False
    reference: Reference | None = None

    @property
    def slug(self) -> str:
        """The title as a file name."""
        return re.sub(r"\W+", "_", self.title.replace("->", "to"))

    def modalities(self) -> set[str]:
        """All that a model must have to be asked."""
        return {self.target, *(name for prompt in self.prompts for name, _ in prompt)}

    def first(self, n: int) -> "Task":
        """The same task on n of its prompts, whose labels take turns."""
        seen: Counter[int] = Counter()
        turns = []
        for i, label in enumerate(self.labels):
            turns.append((seen[label], label, i))
            seen[label] += 1
        kept = [i for _, _, i in sorted(turns)[:n]]
        return replace(self, prompts=[self.prompts[i] for i in kept], labels=[self.labels[i] for i in kept])

    def at(self, temperature: float) -> "Task":
        """The same task, ids drawn at another temperature; a task that takes the likeliest stays as it is."""
        return replace(self, temperature=temperature) if self.temperature else self

    def caption(self, i: int) -> str:
        """What prompt i asks for: its words, or its label."""
        words = [media for _, media in self.prompts[i] if isinstance(media, str)]
        return " ".join(words) or f"{self.prompts[i][0][0]} of a {self.labels[i]}"
