"""Documents as a page: HTML with all media embedded, or Markdown that links to the files.

Knows files by their MIME type (text, image, audio), not by modality.
"""

import base64
import html
import mimetypes
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

STYLE = """body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem;color:#222}
article{border-top:1px solid #ccc;padding:1rem 0}h2{font-size:1rem;color:#666}figure{margin:.5rem 0}
figcaption{font-size:.8rem;color:#888}img{image-rendering:pixelated;max-width:100%}p{white-space:pre-wrap;margin:0}
.prompt{background:#f4f4f4;padding:.25rem .75rem;border-radius:.25rem}"""


class Piece(NamedTuple):
    """One segment, written to a file."""

    modality: str
    file: Path
    prompt: bool  # whether it is part of the prompt, not generated


def kind(file: Path) -> str:
    """The main MIME type of a file by its suffix: "text", "image", "audio" or another."""
    return (mimetypes.guess_type(file.name)[0] or "application/octet-stream").partition("/")[0]


def as_html(documents: Sequence[Sequence[Piece]], title: str) -> str:
    """The documents as one HTML page that needs no other file."""
    articles = []
    for number, document in enumerate(documents):
        pieces = "\n".join(_figure(piece) for piece in document) or "<p><em>nothing was generated</em></p>"
        articles.append(f"<article>\n<h2>{number}</h2>\n{pieces}\n</article>")
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{html.escape(title)}</title>\n'
        f"<style>{STYLE}</style>\n</head>\n<body>\n<h1>{html.escape(title)}</h1>\n"
        + "\n".join(articles)
        + "\n</body>\n</html>\n"
    )


def _figure(piece: Piece) -> str:
    media_kind = kind(piece.file)
    if media_kind == "text":
        shown = f"<p>{html.escape(piece.file.read_text(encoding='utf-8').removesuffix(chr(10)))}</p>"
    else:
        mime = mimetypes.guess_type(piece.file.name)[0] or "application/octet-stream"
        source = f"data:{mime};base64,{base64.b64encode(piece.file.read_bytes()).decode()}"
        name = html.escape(piece.file.name, quote=True)
        shown = {
            "image": f'<img src="{source}" alt="{name}">',
            "audio": f'<audio controls src="{source}"></audio>',
        }.get(media_kind, f'<a download="{name}" href="{source}">{name}</a>')
    role = "prompt" if piece.prompt else "generated"
    caption = html.escape(f"{piece.modality}, {role}" if piece.prompt else piece.modality)
    return f'<figure class="{role}">{shown}<figcaption>{caption}</figcaption></figure>'


def as_markdown(documents: Sequence[Sequence[Piece]], title: str) -> str:
    """The documents as Markdown, to be saved beside the files that it links to."""
    lines = [f"# {title}"]
    for number, document in enumerate(documents):
        lines += ["", f"## {number}"]
        for piece in document:
            role = " (prompt)" if piece.prompt else ""
            lines += ["", f"{piece.modality}{role}:", ""]
            if kind(piece.file) == "text":
                text = piece.file.read_text(encoding="utf-8").removesuffix("\n")
                lines += [f"    {line}" for line in text.split("\n")]  # a code block: the text may look like Markdown
            else:
                prefix = "!" if kind(piece.file) == "image" else ""
                lines.append(f"{prefix}[{piece.file.name}]({piece.file.name})")
    return "\n".join(lines) + "\n"
