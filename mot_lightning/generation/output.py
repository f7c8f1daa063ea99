"""Generated documents as files: media, a page that shows them, and the request."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mot_lightning.codecs import Codec
from mot_lightning.errors import ConfigError, NotWritten, say
from mot_lightning.generation.prompts import Document, decode
from mot_lightning.generation.settings import GenerationSettings
from mot_lightning.media.html import Piece
from mot_lightning.media.page import Continued, as_html, as_markdown
from mot_lightning.runs.atomic import os_error, write_text
from mot_lightning.sequence import Segment


def new_folder(given: Path | None, parent: Path) -> Path:
    """Create the given folder or, without one, the folder of the next free number in `parent`.

    Raises:
        ConfigError: the folder exists, or cannot be created.
    """
    number = 0
    while (parent / str(number)).exists():
        number += 1
    folder = given or parent / str(number)
    if folder.exists():
        raise ConfigError(f"--out {folder} exists, wanted a new folder: nothing is overwritten")
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise ConfigError(f"--out {folder} cannot be created: {error.strerror}") from None
    return folder


def write_request(folder: Path, request: Mapping[str, Any], settings: GenerationSettings, checkpoint: Path) -> None:
    """Write request.json, with all that is needed to repeat the generation."""
    content = {
        **request,
        "settings": asdict(settings),
        "sha256": hashlib.sha256(checkpoint.read_bytes()).hexdigest(),
        "version": version("mot_lightning"),
    }
    write_text(folder / "request.json", json.dumps(content, indent=2) + "\n")


def write_documents(
    folder: Path,
    request: Mapping[str, Any],
    settings: GenerationSettings,
    codecs: Mapping[str, Codec],
    prompts: Sequence[Document],
    continued: Sequence[Sequence[Segment]],
) -> None:
    """Write all media as files and on a page; printing comes last, as the terminal may be closed.

    Args:
        request: `experiment`, `checkpoint`, `step` and `num_samples`, which the page shows.
        continued: `num_samples` continuations of each prompt in turn; the last may be missing.
    """
    documents: list[Continued] = []
    lines, samples = [], request["num_samples"]
    for number, segments in enumerate(continued):
        prompt = prompts[number // samples]
        pieces, described = _write(folder, codecs, number, prompt, decode(codecs, segments))
        if number % samples == 0:
            documents.append(Continued([piece for piece in pieces if piece.prompt], []))
        documents[-1] = Continued(
            documents[-1].prompt, [*documents[-1].samples, [piece for piece in pieces if not piece.prompt]]
        )
        lines += described
    shown = _shown(request, settings)
    title = f"{request.get('experiment') or 'samples'}, step {request['step']}"
    write_text(folder / "index.html", as_html(documents, title, shown))
    write_text(folder / "page.md", as_markdown(documents, title, shown))
    if len(continued) < samples * len(prompts):
        lines.append(f"{len(continued)} of {samples * len(prompts)} samples were finished")
    say(*lines, f"page: {folder / 'index.html'}")


def _shown(request: Mapping[str, Any], settings: GenerationSettings) -> dict[str, Any]:
    """What was asked for, as a page shows it: the model, then all settings that say something."""
    shown = {name: request.get(name) for name in ("experiment", "step", "checkpoint", "num_samples")}
    for name, value in asdict(settings).items():
        if isinstance(value, Mapping):
            value = ", ".join(f"{key} {scale:g}" for key, scale in value.items())
        elif isinstance(value, tuple):
            value = ", ".join(value) or "the model chooses"
        shown[name] = value
    known = {name: value for name, value in shown.items() if value not in (None, "")}
    return {
        "samples of each prompt" if name == "num_samples" else name.replace("_", " "): known[name] for name in known
    }


def _write(
    folder: Path, codecs: Mapping[str, Codec], number: int, prompt: Document, continuation: Document
) -> tuple[list[Piece], list[str]]:
    """Write the media of one document; returns them with lines that describe them.

    Raises:
        NotWritten: the disk is full, or the folder is gone.
    """
    prompt_text = " ".join(media if isinstance(media, str) else f"<{name}>" for name, media in prompt)
    lines = [f"sample {number}: {prompt_text or '(no prompt)'}"]
    if not continuation:
        lines.append("  (the model ended the document)")
    pieces = []
    for stem, document in (("prompt_", prompt), ("", continuation)):
        for i, (name, media) in enumerate(document):
            path = folder / f"{number:02}_{stem}{i}_{name}"
            try:
                file = codecs[name].media_type.write(media, path)
            except Exception as error:  # libraries wrap the system's error
                reason = (cause.strerror if (cause := os_error(error)) else None) or " ".join(str(error).split())
                raise NotWritten(f"{path} cannot be written: {reason}") from error
            pieces.append(Piece(name, file, prompt=bool(stem)))
            if not stem:
                lines.append(f"  {name}: {media if isinstance(media, str) else ''}".rstrip() + f"   {file}")
    return pieces, lines
