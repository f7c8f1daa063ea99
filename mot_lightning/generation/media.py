"""From media to tokens and back: prompts as a person writes them, documents as a person reads them.

Knows codecs; `generate.py` makes the tokens between.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mot_lightning.codecs import Codec
from mot_lightning.sequence import Segment

# a text, a file, media under the name of their modality, or several of these in a row
Prompt = str | Path | tuple[str, Any] | Sequence[str | Path | tuple[str, Any]]
Document = list[tuple[str, Any]]  # (modality, media) of each segment


def read_prompt(codecs: Mapping[str, Codec], control: str, prompt: Prompt) -> Document:
    """The media of a prompt.

    Args:
        control: the modality of plain words.

    Raises:
        ValueError: there is no such modality, or a file that no codec can read.
    """
    pieces = [prompt] if isinstance(prompt, str | Path | tuple) else prompt
    return [_read_piece(codecs, control, piece) for piece in pieces]


def _read_piece(codecs: Mapping[str, Codec], control: str, piece: Any) -> tuple[str, Any]:
    if isinstance(piece, str):
        return control, piece
    if isinstance(piece, Path):
        return read_file(codecs, piece)
    if not isinstance(piece, tuple) or len(piece) != 2:
        raise ValueError(f"a prompt holds {type(piece).__name__}, wanted a text, a Path or (modality, media)")
    name, media = piece
    if name not in codecs:
        raise ValueError(f"a prompt names {name!r}, wanted some of {', '.join(codecs)}")
    return name, codecs[name].read(media) if isinstance(media, Path) else media


def read_file(codecs: Mapping[str, Codec], path: Path) -> tuple[str, Any]:
    """A file's modality and medium: its ending may lie, so the codec it names is asked first, then the others.

    Raises:
        ValueError: no codec can read it.
    """
    if not path.is_file():
        raise ValueError(f"{path} does not exist")
    if not codecs:
        raise ValueError(f"{path} is a file, wanted words: the model has no modality that files are read for")
    refusals = []
    for name, codec in sorted(codecs.items(), key=lambda item: path.suffix.lower() not in item[1].suffixes):
        try:
            return name, codec.read(path)
        except ValueError as error:
            refusals.append(f"{name}: {error}")
    raise ValueError(f"{path} is neither {' nor '.join(sorted(codecs))}: {'; '.join(refusals)}")


def encode(codecs: Mapping[str, Codec], document: Document) -> list[Segment]:
    """Raises ValueError where media do not fit their codec."""
    return [Segment(name, codecs[name].encode(media)) for name, media in document]


def decode(codecs: Mapping[str, Codec], segments: Sequence[Segment]) -> Document:
    return [(segment.modality, codecs[segment.modality].decode(segment.tokens.cpu())) for segment in segments]
