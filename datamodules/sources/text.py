"""Records from plain text, cut into documents."""

import re
from pathlib import Path

from datamodules.sources.base import Record, Source
from datamodules.sources.packed import content_of
from datamodules.sources.paths import inside
from mot_lightning.errors import require


class TextFile(Source):
    """A UTF-8 text file, or all `.txt` files below a folder, as documents in the column `text`.

    Args:
        path: the file, which may be compressed (.gz, .xz; up to 1 GiB of text), or the folder.
        separator: between two documents, which it is no part of; null takes each file whole.
        max_length: characters of a document. A longer one is cut, at white space where there is any in its second half.
    """

    def __init__(self, path: Path, separator: str | None = "\n\n", max_length: int = 200) -> None:
        require("data.source.max_length", max_length, "at least 1", max_length >= 1)
        require("data.source.separator", separator, "some text, or null", separator != "")
        self.path, self.separator, self.max_length = Path(path), separator, max_length
        self.documents: list[str] = []

    def setup(self) -> None:
        if self.documents:
            return
        files = _texts_in(self.path) if self.path.is_dir() else [self.path]
        if not files or not files[0].is_file():
            raise ValueError(f"data.source.path {self.path} has no text, wanted a text file or a folder of .txt files")
        for file in files:
            text = _read(file)
            for document in text.split(self.separator) if self.separator else [text]:
                if document.strip():
                    self.documents += cut(document.strip("\n"), self.max_length)
        if not self.documents:
            raise ValueError(f"data.source.path {self.path} is empty, wanted some text")

    def __len__(self) -> int:
        return len(self.documents)

    def record(self, index: int) -> Record:
        return {"text": self.documents[index]}


def cut(text: str, max_length: int) -> list[str]:
    """A text in pieces that, joined, are the text; none is empty, and none longer than `max_length` characters."""
    pieces, start = [], 0
    while len(text) - start > max_length:
        half, end = start + max_length // 2, start + max_length
        breaks = [match.end() for match in re.finditer(r"\s", text[half:end])]
        end = half + breaks[-1] if breaks else end
        pieces.append(text[start:end])
        start = end
    return [*pieces, text[start:]] if start < len(text) else pieces


def _read(file: Path) -> str:
    try:
        text = content_of(file).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{file} is not UTF-8 text") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _texts_in(folder: Path) -> list[Path]:
    """The text files below a folder, but for hidden ones."""
    names = [path.relative_to(folder) for path in sorted(folder.rglob("*.txt")) if path.is_file()]
    return [inside(folder, str(name), str(folder)) for name in names if not any(p.startswith(".") for p in name.parts)]
