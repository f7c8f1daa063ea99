"""Records from plain text, cut into documents."""

import re
from pathlib import Path

from datamodules.sources.base import Record, Source
from mot_lightning.errors import require


class TextFile(Source):
    """A UTF-8 text file, or all `.txt` files below a folder, as documents in the column `text`.

    Args:
        path: the file or the folder.
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
        files = sorted(self.path.rglob("*.txt")) if self.path.is_dir() else [self.path]
        if not files or not files[0].is_file():
            raise ValueError(f"data.source.path {self.path} has no text, wanted a text file or a folder of .txt files")
        for file in files:
            try:
                text = file.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                raise ValueError(f"{file} is not UTF-8 text") from None
            for document in text.split(self.separator) if self.separator else [text]:
                self.documents += cut(document.strip("\n"), self.max_length)
        if not self.documents:
            raise ValueError(f"data.source.path {self.path} is empty, wanted some text")

    def __len__(self) -> int:
        return len(self.documents)

    def record(self, index: int) -> Record:
        return {"text": self.documents[index]}


def cut(text: str, max_length: int) -> list[str]:
    """A text in pieces that, joined, are the text; none is empty, and none longer than `max_length` characters."""
    pieces = []
    while len(text) > max_length:
        start = max_length // 2
        breaks = [match.end() for match in re.finditer(r"\s", text[start:max_length])]
        end = start + breaks[-1] if breaks else max_length
        pieces.append(text[:end])
        text = text[end:]
    return [*pieces, text] if text else pieces
