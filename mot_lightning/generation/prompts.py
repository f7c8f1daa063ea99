"""Prompts and documents: from texts, files and media to tokens, and back to media.

Knows codecs and files; generating tokens is left to `generate.py`.
"""

import json
import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import PIL.Image

from mot_lightning.codecs import Codec
from mot_lightning.config.paths import absolute
from mot_lightning.errors import ConfigError
from mot_lightning.sequence import Segment

LOOKS_LIKE_PATH = re.compile(r"\S*/\S*\.[A-Za-z]\w{0,4}|(/|~/|\.\.?/)\S[^\n]*\.\w{1,5}")

log = logging.getLogger(__name__)

Piece = str | Path | PIL.Image.Image | tuple[str, Any]  # a text, a file, an image, or (modality, media)
Prompt = Piece | Sequence[Piece]
Document = list[tuple[str, Any]]  # (modality, media) of each segment


def read_prompt(codecs: Mapping[str, Codec], control: str, prompt: Prompt | None, name: str = "prompt") -> Document:
    """The media of a prompt; none of None.

    Args:
        control: the modality that a `str` belongs to.
        name: of the prompt, in messages.

    Raises:
        ValueError: a modality is unknown, no codec can read a file, or media are not of their modality's type or range.
    """
    if prompt is None:
        return []
    several = isinstance(prompt, Sequence) and not isinstance(prompt, str | tuple)
    pieces: Any = prompt if several else [prompt]
    return [_read_piece(codecs, control, piece, name) for piece in pieces]


def _read_piece(codecs: Mapping[str, Codec], control: str, piece: Any, prompt: str) -> tuple[str, Any]:
    if isinstance(piece, str):
        if _is_file(Path(piece)) or ("/" in piece and _has_media_suffix(codecs, control, piece)):
            raise ValueError(f"{prompt} is {piece!r}, a file: wanted Path({piece!r}), or a text as ({control!r}, ...)")
        return control, piece
    if isinstance(piece, Path):
        return read_file(codecs, absolute(piece, "prompt"))
    if not isinstance(piece, tuple) or len(piece) != 2:
        piece = _only_modality(codecs, piece, prompt), piece
    name, media = piece
    if name not in codecs:
        raise ValueError(f"{prompt} names {name!r}, wanted some of {', '.join(codecs)}")
    if isinstance(media, Path):
        return name, _read_as(codecs[name], absolute(media, "prompt"))
    return name, codecs[name].media_type.coerce(media)


def _only_modality(codecs: Mapping[str, Codec], media: Any, prompt: str) -> str:
    """The modality of media without a name: the only one whose media have this Python type."""
    kind = type(media).__name__
    names = [name for name, codec in codecs.items() if isinstance(media, codec.media_type.types)]
    if not names:
        raise ValueError(f"{prompt} holds {kind}, wanted a text, a Path, an image of Pillow or (modality, media)")
    if len(names) > 1:
        raise ValueError(f"{prompt} holds {kind}, wanted (modality, media): it may be {' or '.join(names)}")
    return names[0]


def _read_as(codec: Codec, path: Path) -> Any:
    """The medium of a file whose modality is known."""
    if not path.is_file():
        raise ValueError(f"{path} {'is a folder, wanted a file' if path.is_dir() else 'does not exist'}")
    return codec.media_type.read(path)


def read_file(codecs: Mapping[str, Codec], path: Path) -> tuple[str, Any]:
    """The modality and medium of a file. Codecs of its suffix are tried first, then the others: a suffix may be wrong.

    Raises:
        ValueError: no codec can read it, or several can.
    """
    if not path.is_file():
        raise ValueError(f"{path} does not exist")
    if not codecs:
        raise ValueError(f"{path} is a file, wanted text: the model has no modality of files")
    refusals = []
    of_suffix = [name for name, codec in codecs.items() if path.suffix.lower() in codec.media_type.suffixes]
    _check_one(path, of_suffix)
    for names in (of_suffix, [name for name in codecs if name not in of_suffix]):
        media = {}
        for name in names:
            try:
                media[name] = codecs[name].media_type.read(path)
            except ValueError as error:
                refusals.append(f"{name}: {error}")
        _check_one(path, list(media))
        if media:
            return media.popitem()
    raise ValueError(f"{path} is neither {' nor '.join(sorted(codecs))}: {'; '.join(refusals)}")


def _check_one(path: Path, names: Sequence[str]) -> None:
    """Raises ValueError if a file may be of several modalities."""
    if len(names) > 1:
        choices = " or ".join(f"{name}:{path.name}" for name in names)
        raise ValueError(f"{path} may be {' or '.join(names)}, wanted {choices}, in Python (modality, path)")


def read_words(codecs: Mapping[str, Codec], control: str, words: str, folder: Path) -> tuple[str, Any]:
    """One prompt argument of a command line as (modality, media).

    After the name of a modality and a colon comes a path or, if its media are texts, the text itself. Without a name,
    the path of a file is read, what looks like a path must be one, and anything else is text.

    Args:
        control: the modality that plain text belongs to.
        folder: the folder that relative paths start from.

    Raises:
        ValueError: no codec can read a file, or a path does not exist.
    """
    name, colon, rest = words.partition(":")
    if colon and name in codecs:
        literal = str in codecs[name].media_type.types
        return name, rest if literal else _read_as(codecs[name], absolute(rest, "prompt", folder))
    others = {name: codec for name, codec in codecs.items() if name != control}
    try:
        path = absolute(words, "prompt", folder)
        exists = path.is_file()
    except (OSError, ConfigError):  # a text too long to be a path, or one that begins with ~
        return control, words
    if exists:
        return read_file(others, path)
    suffixes = {suffix for codec in codecs.values() for suffix in codec.media_type.suffixes}
    if path.suffix.lower() in suffixes or LOOKS_LIKE_PATH.fullmatch(words):
        raise ValueError(f"{path} does not exist: {control}:{words} is a text")
    return control, words


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a text too long to be a path, or with a null character
        return False


def _has_media_suffix(codecs: Mapping[str, Codec], control: str, words: str) -> bool:
    """Whether words look like the path of a file of media that are not text."""
    suffixes = {suffix for name, codec in codecs.items() if name != control for suffix in codec.media_type.suffixes}
    return Path(words).suffix.lower() in suffixes and len(words.split()) == 1


def read_prompts(path: Path) -> list[list[str]]:
    """The prompts of a file, one a line: text, or in a .jsonl file a JSON list of texts and paths.

    Raises:
        ConfigError: the file cannot be read, or a line is not such a list.
    """
    if path.suffix.lower() not in ("", ".txt", ".jsonl"):
        formats = ".txt with a prompt on each line, or .jsonl"
        raise ConfigError(f"--prompts is {path}, of suffix {path.suffix!r}, wanted {formats}")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--prompts {path} cannot be read: {getattr(error, 'strerror', 'not UTF-8')}") from None
    # not splitlines(): JSON may contain other characters that Unicode counts as line ends
    lines = {number: line for number, line in enumerate(text.split("\n"), 1) if line.strip()}
    if not lines:
        raise ConfigError(f"--prompts {path} has 0 prompts, wanted at least 1")
    if path.suffix.lower() != ".jsonl":
        return [[line] for line in lines.values()]
    prompts = []
    for number, line in lines.items():
        try:
            prompt = json.loads(line)
        except (json.JSONDecodeError, RecursionError):  # the latter of brackets in brackets
            prompt = None
        if not isinstance(prompt, list) or not all(isinstance(words, str) for words in prompt):
            raise ConfigError(
                f"--prompts {path}, line {number} is {line[:40]!r}, wanted a JSON list of texts and paths"
            )
        prompts.append(prompt)
    return prompts


def encode(codecs: Mapping[str, Codec], document: Document) -> list[Segment]:
    """The segments of a document; raises ValueError if a medium does not fit its codec."""
    for name, media in document:
        codecs[name].media_type.check(media)
    return [Segment(name, codecs[name].encode(media)) for name, media in document]


def decode(codecs: Mapping[str, Codec], segments: Sequence[Segment]) -> Document:
    """The media of segments."""
    return [(segment.modality, codecs[segment.modality].decode(segment.tokens.cpu())) for segment in segments]


def warn_of_ended(continuations: Sequence[Sequence[Any]]) -> None:
    """Log a line if the model ended documents without a new segment."""
    ended = sum(not segments for segments in continuations)
    if ended:
        which = "the document" if len(continuations) == 1 else f"{ended} of {len(continuations)} documents"
        log.warning("the model ended %s without a new segment: modalities=(...) asks for some", which)
