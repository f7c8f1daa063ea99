"""Plays of Shakespeare, which ship with the package."""

from pathlib import Path

from datamodules.sources.text import TextFile

FILE = Path(__file__).parents[1] / "text/tinyshakespeare.txt.xz"


class TinyShakespeare(TextFile):
    """40,000 lines of plays, 1.1 MB (Karpathy's char-rnn; the plays are in the public domain): column `text`.

    Args:
        separator, max_length: as in `TextFile`; a speech ends at an empty line.
    """

    def __init__(self, separator: str | None = "\n\n", max_length: int = 200) -> None:
        super().__init__(FILE, separator, max_length)
