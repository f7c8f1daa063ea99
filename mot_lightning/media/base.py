"""A media type: how its files are read and written, how several are shown together, and what is valid.

Knows raw media and files; tokens are left to codecs.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import PIL.Image


class MediaType(ABC):
    """Files, checks and previews of one kind of media."""

    suffixes: ClassVar[tuple[str, ...]]  # file suffixes that it reads; it writes the first
    types: ClassVar[tuple[type, ...]] = ()  # of Python objects that are media of this type and of no other

    @abstractmethod
    def check(self, media: Any) -> None:
        """Raises ValueError if `media` is not a valid medium of this type."""

    def coerce(self, media: Any) -> Any:
        """A valid medium from what a user may have in memory, such as arrays or images of other libraries.

        Raises:
            ValueError: it is none, or has values out of range.
        """
        self.check(media)
        return media

    @abstractmethod
    def read(self, path: Path) -> Any:
        """A medium from a file; prints what was converted, if anything.

        Raises:
            ValueError: the file does not contain one.
        """

    @abstractmethod
    def write(self, media: Any, stem: Path) -> Path:
        """Write a medium to `stem` plus the suffix; returns the path."""

    def write_many(self, media: Sequence[Any], captions: Sequence[str], stem: Path) -> list[Path]:
        """Write several media with their captions, to be viewed together; returns the paths."""
        return [self.write(medium, stem.with_name(f"{stem.name}_{i:02}")) for i, medium in enumerate(media)]

    @abstractmethod
    def log(self, writer: Any, tag: str, media: Sequence[Any], captions: Sequence[str], step: int) -> None:
        """Log several media to a TensorBoard `SummaryWriter`."""

    def picture(self, media: Any) -> PIL.Image.Image | None:
        """A medium as a picture; None if it is nothing to look at."""
        return None
