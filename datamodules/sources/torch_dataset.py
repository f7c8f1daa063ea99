"""Records from data sets of torchvision and torchaudio, or any map-style data set of PyTorch that gives tuples."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import soundfile
import torchaudio
from torch import Tensor
from torch.utils.data import Dataset

from datamodules.sources.base import Record, Source, Waveform
from mot_lightning.errors import require


class TorchDataset(Source):
    """The items of a data set, whose fields are columns by their order.

    A `label` that is a number becomes the name of its class, if the data set has `classes`. A tensor beside a
    `sample_rate` is a waveform. Give the data set no transforms: those of columns follow the document.

    Args:
        dataset: such as `torchvision.datasets.CIFAR10`; the sounds of one of torchaudio are read by soundfile.
        columns: names of an item's fields, as in [audio, sample_rate, label]; fields without a name are left out.
    """

    def __init__(self, dataset: Dataset, columns: list[str] = ["image", "label"]) -> None:  # type: ignore[type-arg]  # noqa: B006
        require("data.source.dataset", type(dataset).__name__, "one with a length", hasattr(dataset, "__len__"))
        self.dataset: Any = dataset
        self.columns = columns

    def setup(self) -> None:
        if not len(self):
            raise ValueError(f"data.source.dataset {type(self.dataset).__name__} is empty, wanted at least 1 item")

    def __len__(self) -> int:
        return len(self.dataset)

    def record(self, index: int) -> Record:
        kind = type(self.dataset)
        try:
            with _paths_of_sounds():
                item = self.dataset[index]
        except Exception as error:  # of damaged files, in many types
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ValueError(f"item {index} of {kind.__name__} cannot be read: {reason[:200]}") from None
        if not isinstance(item, tuple) or len(item) < len(self.columns):
            seen = f"{len(item)} fields" if isinstance(item, tuple) else f"a {type(item).__name__}"
            raise ValueError(f"item {index} of {kind.__name__} has {seen}, wanted {', '.join(self.columns)}")
        record = dict(zip(self.columns, item, strict=False))
        classes = getattr(self.dataset, "classes", None)
        if isinstance(classes, list | tuple) and isinstance(label := record.get("label"), int):
            name = classes[label]
            record["label"] = list(name) if isinstance(name, tuple) else name  # synonyms
        if rate := record.get("sample_rate"):
            sounds = {name: Waveform(value, rate) for name, value in record.items() if isinstance(value, Tensor)}
            record |= sounds
        return record


@contextmanager
def _paths_of_sounds() -> Iterator[None]:
    """In this context, torchaudio gives the path of a sound in place of its samples, which columns read.

    Its own reader needs torchcodec.
    """
    load = torchaudio.load
    try:
        torchaudio.load = lambda path, **_: (Path(path), soundfile.info(path).samplerate)
        yield
    finally:
        torchaudio.load = load
