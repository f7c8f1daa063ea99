"""Texts and their files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from mot_lightning.errors import BadMedia
from mot_lightning.media.base import MediaType


class Text(MediaType):
    """UTF-8 texts, `str`."""

    suffixes: ClassVar[tuple[str, ...]] = (".txt",)
    types: ClassVar[tuple[type, ...]] = (str,)

    def check(self, media: Any) -> None:
        if not isinstance(media, str):
            raise ValueError(f"text is of type {type(media).__name__}, wanted str")
        try:
            media.encode()
        except UnicodeEncodeError as error:  # half a character: of bytes that are not UTF-8, or of JSON
            raise BadMedia(f"text is {media[:60]!r}, wanted UTF-8: {error.reason}", "not UTF-8") from None

    def read(self, path: Path) -> str:
        try:
            return path.read_text(encoding="utf-8").removesuffix("\n")
        except UnicodeDecodeError:
            raise BadMedia(f"{path} is not UTF-8 text", "not UTF-8") from None
        except OSError as error:
            raise BadMedia(f"{path} cannot be read: {error.strerror}", "unreadable") from None

    def write(self, media: str, stem: Path) -> Path:
        path = stem.with_name(f"{stem.name}{self.suffixes[0]}")
        path.write_text(media + "\n", encoding="utf-8")
        return path

    def write_many(self, media: Sequence[str], captions: Sequence[str], stem: Path) -> list[Path]:
        """Write one file with a line `caption -> text` for each text."""
        lines = [f"{caption} -> {text}" for caption, text in zip(captions, media, strict=True)]
        return [self.write("\n".join(lines), stem)]

    def log(self, writer: Any, tag: str, media: Sequence[str], captions: Sequence[str], step: int) -> None:
        """Log the lines `caption -> text` as a code block, as captions and texts may look like Markdown."""
        lines = "\n".join(f"{caption} -> {text}" for caption, text in zip(captions, media, strict=True)).split("\n")
        writer.add_text(tag, "\n".join(f"    {line}" for line in lines), step)
