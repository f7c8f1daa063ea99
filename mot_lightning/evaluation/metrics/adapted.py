"""torchmetrics' own classes as metrics of tasks: what each compares with is read off the signature of its `update`."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.image.fid import FrechetInceptionDistance

from mot_lightning.errors import ConfigError
from mot_lightning.evaluation.metrics.features import as_bytes
from mot_lightning.evaluation.metrics.frechet import FrechetDistance
from mot_lightning.evaluation.metrics.references import NESTED, references_of

# dimensions of the media that the classes of a package of torchmetrics take; texts have none
DIMENSIONS = {"text": 0, "audio": 1, "image": 3}
SIZE = 50  # media in one update, whose features are in memory together


def adapted(kind: type[Metric]) -> type[Metric]:
    """The class itself, or of those that torchmetrics updates, a subclass that is updated with (media, targets).

    Raises:
        ConfigError: there is no telling what its `update` takes.
    """
    if kind.update.__module__.partition(".")[0] != "torchmetrics":
        return kind
    parameters = list(inspect.signature(kind.update).parameters.values())[1:]
    names = [one.name for one in parameters if one.default is inspect.Parameter.empty]
    if not names or len(names) > 2:
        raise ConfigError(
            f"{kind.__name__} is updated with {', '.join(names)}, wanted media and at most one thing more"
        )
    members: dict[str, Any] = {"feature_network": getattr(kind, "feature_network", None), "__module__": kind.__module__}
    if names[1:] == ["real"]:
        members |= {"of_sets": True, "reference": (), "min_samples": 2}
        if issubclass(kind, FrechetInceptionDistance):
            members["comparable_samples"] = FrechetDistance.comparable_samples
    elif names in (["source", "target"], ["images", "text"]):
        members["compares_with"] = "texts"
    elif len(names) == 2:
        members |= {"compares_with": "references", "takes_several": bool(NESTED.search(str(parameters[1].annotation)))}
    return type(kind.__name__, (Adapted, kind), members)


class Adapted(Metric):
    """Turns media and targets into what `update` of the next class in line takes.

    Attributes:
        of_sets: whether it compares all media with all of `reference`, real media.
        takes_several: whether it takes several references of a text.
    """

    compares_with = "labels"
    of_sets: ClassVar[bool] = False
    takes_several: ClassVar[bool] = False
    fixed_states = "real_"  # are not of the generated media
    feature_network: str | None
    reference: Sequence[Any]

    def update(self, media: Sequence[Any], targets: Sequence[Any]) -> None:
        update: Any = super().update  # type: ignore[safe-super]
        self._check(media[0])
        size = 1 if isinstance(media[0], Tensor) and media[0].ndim == 1 else SIZE  # sounds have lengths of their own
        if self.of_sets and not self._knows_real:
            for start in range(0, len(self.reference), SIZE):
                update(self._input(self.reference[start : start + SIZE]), real=True)
        for start in range(0, len(media), size):
            some, others = media[start : start + size], targets[start : start + size]
            if self.of_sets:
                update(self._input(some), real=False)
            elif self.compares_with == "labels":
                update(self._input(some))
            elif self.compares_with == "texts":
                update(self._input(some), list(others))
            else:
                update(*self._pair(some, others))

    def _check(self, medium: Any) -> None:
        """Raises ValueError if the class is for other media: it might not end on a waveform as a text."""
        package = type(self).__module__.partition(".")[2].partition(".")[0]
        seen = 0 if isinstance(medium, str) else medium.ndim
        if DIMENSIONS.get(package, seen) != seen:
            names = {number: name for name, number in DIMENSIONS.items()}
            raise ValueError(f"{type(self).__name__} is for media of {package}, wanted one for {names.get(seen, seen)}")

    def compute(self) -> Any:
        value: Any = super().compute()  # type: ignore[safe-super]
        if isinstance(value, Mapping):
            raise ValueError(f"{type(self).__name__} computes {', '.join(value)}, wanted one value")
        if isinstance(value, tuple | list):  # a mean over random parts, and how far these differ
            self.resampled = False
            return value[0]
        return value

    @property
    def _knows_real(self) -> bool:
        states = [getattr(self, name) for name in self._defaults if name.startswith(self.fixed_states)]
        return any(len(state) > 0 if isinstance(state, list) else bool(state.any()) for state in states)

    def _input(self, media: Sequence[Any]) -> Any:
        """Texts, waveforms (n, samples) or images (n, c, h, w): of bytes where the class says so, else in [0, 1]."""
        if isinstance(media[0], str):
            return list(media)
        stacked = torch.stack(list(media))
        if stacked.ndim == 4 and self.feature_network:
            stacked = stacked.expand(-1, 3, -1, -1)
        normalised: Any = getattr(self, "normalize", None)
        if self.compares_with == "references":
            return 2 * stacked - 1 if normalised is False else stacked  # LPIPS
        return as_bytes(stacked) if normalised is False or self.compares_with == "texts" else stacked

    def _pair(self, media: Sequence[Any], references: Sequence[Any]) -> tuple[Any, Any]:
        if isinstance(media[0], str):
            several = [references_of(one) for one in references]
            if not self.takes_several and any(len(one) != 1 for one in several):
                raise ValueError(f"{type(self).__name__} takes one reference of a text, wanted a metric of several")
            return list(media), several if self.takes_several else [one for (one,) in several]
        if media[0].ndim == 1:
            n = min(len(media[0]), len(references[0]))
            media, references = [media[0][:n]], [references[0][:n]]
        return self._input(media), self._input(references)
