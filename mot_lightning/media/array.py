"""Arrays of numbers over time, such as a robot's actions or readings of sensors, and their files and plots."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import PIL.Image
import torch
from matplotlib.figure import Figure
from torch import Tensor

from mot_lightning.media.arrays import as_array
from mot_lightning.media.base import MediaType

PICTURE = (2.4, 1.6)  # width and height in inches


class Array(MediaType):
    """Arrays (n, c) of n times c numbers, float32, in NumPy's files.

    Args:
        shape: n and c; n is null if it varies.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".npy",)

    def __init__(self, shape: tuple[int | None, int]) -> None:
        self.shape = shape

    def check(self, media: Any) -> None:
        if not isinstance(media, Tensor):
            raise ValueError(f"array is of type {type(media).__name__}, wanted a tensor {self._wanted}")
        n, c = self.shape
        if media.dim() != 2 or media.shape[1] != c or n not in (None, len(media)) or not len(media):
            raise ValueError(f"array is {tuple(media.shape)}, wanted {self._wanted}")
        if not media.isfinite().all():
            raise ValueError("array has values that are NaN or infinite, wanted finite numbers")

    @property
    def _wanted(self) -> str:
        n, c = self.shape
        return f"({'n' if n is None else n}, {c})"

    def coerce(self, media: Any) -> Tensor:
        """An array in memory, or nested lists of numbers, as float32 (n, c).

        A vector is a column if c is 1, else one row.

        Raises:
            ValueError: it is none of these, or has another shape.
        """
        try:
            values = as_array(media) if isinstance(media, np.ndarray | Tensor) else np.array(media)
            if not np.issubdtype(values.dtype, np.number) or np.iscomplexobj(values):
                raise ValueError
            array = values.astype(np.float32)
        except (ValueError, TypeError):  # rows of different lengths, or no numbers
            raise ValueError(f"array is {str(media)[:40]!r}, wanted rows of {self.shape[1]} numbers") from None
        if array.ndim == 1:
            array = array[:, None] if self.shape[1] == 1 else array[None]
        tensor = torch.from_numpy(array)  # (n, c)
        self.check(tensor)
        return tensor

    def read(self, path: Path) -> Tensor:
        """The array of a .npy file; nothing is unpickled.

        Raises:
            ValueError: the file is none, or holds another shape.
        """
        try:
            return self.decode(path.read_bytes(), str(path))
        except OSError as error:
            raise ValueError(f"{path} cannot be read: {error.strerror}") from None

    def decode(self, content: bytes, name: str) -> Tensor:
        """The array of a file's content, as `read` reads it.

        Args:
            name: of the file, in messages.
        """
        try:
            values = np.load(io.BytesIO(content), allow_pickle=False)
            if not isinstance(values, np.ndarray):
                raise ValueError
        except (ValueError, EOFError, OSError, MemoryError, SyntaxError):
            raise ValueError(f"{name} is no .npy file of numbers") from None
        try:
            return self.coerce(values)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None

    def write(self, media: Tensor, stem: Path) -> Path:
        """Write `stem.npy`, and a plot of it as `stem.npy.png`; returns the path of the array."""
        path = stem.with_name(f"{stem.name}{self.suffixes[0]}")
        np.save(path, media.detach().cpu().numpy(), allow_pickle=False)
        self.picture(media).save(path.with_name(f"{path.name}.png"))
        return path

    def log(self, writer: Any, tag: str, media: Sequence[Tensor], captions: Sequence[str], step: int) -> None:
        """Nothing: its pictures are logged."""

    def picture(self, media: Tensor) -> PIL.Image.Image:
        """A plot: a line for each of the c numbers, over n."""
        figure = Figure(figsize=PICTURE, dpi=100, layout="tight")
        axes = figure.add_subplot()
        axes.plot(media.detach().cpu().numpy(), linewidth=1, marker="." if len(media) < 2 else None)
        axes.tick_params(labelsize=6)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
        with PIL.Image.open(buffer) as picture:
            return picture.convert("RGB")
