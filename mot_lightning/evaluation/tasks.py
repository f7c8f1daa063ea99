"""Cross-modal tasks: prompts, the modality that continues them, and its metrics. Datamodules declare them."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torchmetrics import Metric

from mot_lightning.errors import ConfigError


@dataclass(frozen=True)
class Task:
    """Prompts that are each continued by one segment of a modality, and the metrics of these segments.

    Attributes:
        title: name of the task in tables, such as "text -> image".
        prompts: each a list of (modality, media).
        target: the modality to generate.
        labels: what each generated segment should show or say; metrics get them as targets.
        metrics: metrics by name, updated with (media, labels) and logged as `test/<target>/<name>`.
        real: (media, labels), real media of the target modality, measured as an upper bound for the model.
        references: a real medium of the target modality for each prompt, to look at beside the generated one.
        temperature: sampling temperature of ids; 0 takes the likeliest.
        max_length: maximum tokens of a segment with a stop id.
        guided: whether to sample the task also with classifier-free guidance.
    """

    title: str
    prompts: Sequence[Sequence[tuple[str, Any]]]
    target: str
    labels: Sequence[Any]
    metrics: Mapping[str, Metric]
    real: tuple[Sequence[Any], Sequence[Any]] | None = None
    temperature: float = 0.0
    max_length: int = 64
    guided: bool = False
    references: Sequence[Any] | None = None

    def __post_init__(self) -> None:
        if self.references is not None and len(self.references) != len(self.prompts):
            raise ValueError(f"references has {len(self.references)} media, wanted {len(self.prompts)}, one per prompt")

    @property
    def slug(self) -> str:
        """The title as a file name."""
        return re.sub(r"\W+", "_", self.title.replace("->", "to"))

    def modalities(self) -> set[str]:
        """The modalities that a model needs for the task."""
        return {self.target, *(name for prompt in self.prompts for name, _ in prompt)}

    @property
    def texts(self) -> list[str] | None:
        """The text of each prompt; None if one has none."""
        texts = [_text(prompt) for prompt in self.prompts]
        return texts if all(texts) else None

    def targets_of(self, metric: Metric) -> Sequence[Any]:
        """What a metric compares the media with: the task's labels, or what its attribute `compares_with` names.

        Raises:
            ValueError: the task has no such references or texts.
        """
        kind = getattr(metric, "compares_with", "labels")
        by_kind = {"labels": self.labels, "references": self.references, "texts": self.texts}
        targets: Sequence[Any] | None = by_kind.get(kind)
        if targets is None:
            where = " of its prompts" if kind == "texts" else ""
            raise ValueError(f"task {self.title!r} has no {kind}{where}, wanted some for {type(metric).__name__}")
        return targets

    @property
    def absolute(self) -> dict[str, Metric]:
        """The metrics that real media have, too: those that compare with labels, or with nothing."""
        return {
            name: metric
            for name, metric in self.metrics.items()
            if not hasattr(metric, "reference") and getattr(metric, "compares_with", "labels") == "labels"
        }

    def subset(self, n: int) -> "Task":
        """The same task on n of its prompts, spread evenly over the labels."""
        numbers = all(isinstance(label, int) for label in self.labels)
        # texts in the order of the prompts: the first of the alphabet would be another sample than all
        order = {label: i for i, label in enumerate(sorted({*self.labels}) if numbers else dict.fromkeys(self.labels))}
        seen: Counter[Any] = Counter()
        ranked = []
        for i, label in enumerate(self.labels):
            ranked.append((seen[label], order[label], i))
            seen[label] += 1
        indices = [i for *_, i in sorted(ranked)[:n]]
        prompts, labels = [self.prompts[i] for i in indices], [self.labels[i] for i in indices]
        references = None if self.references is None else [self.references[i] for i in indices]
        return replace(self, prompts=prompts, labels=labels, references=references)

    def with_temperature(self, temperature: float) -> "Task":
        """The same task at another temperature; a task of temperature 0 stays unchanged."""
        return replace(self, temperature=temperature) if self.temperature else self

    def caption(self, i: int) -> str:
        """What prompt i asks for: its text, or its label."""
        return _text(self.prompts[i]) or f"{self.prompts[i][0][0]} of a {self.labels[i]}"


def _text(prompt: Sequence[tuple[str, Any]]) -> str:
    return " ".join(media for _, media in prompt if isinstance(media, str))


def check_names(tasks: Sequence[Task]) -> None:
    """Raises ConfigError if two tasks with one target have a metric of the same name: one would hide the other."""
    titles: dict[tuple[str, str], str] = {}
    for task in tasks:
        for name in task.metrics:
            other = titles.setdefault((task.target, name), task.title)
            if other != task.title:
                raise ConfigError(
                    f"metric {name!r} is of the tasks {other!r} and {task.title!r}, wanted two names: "
                    f"both are logged as test/{task.target}/{name}"
                )
