"""Generated documents as a page to look at: HTML with all media embedded, and Markdown that links to the files.

Each prompt stands there once, above a grid of its samples.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mot_lightning.media.html import Piece, facts, figures, grid, kind, page, section


class Continued(NamedTuple):
    """One prompt and its samples."""

    prompt: Sequence[Piece]
    samples: Sequence[Sequence[Piece]]


def as_html(documents: Sequence[Continued], title: str, settings: Mapping[str, Any]) -> str:
    """One page that needs no other file.

    Args:
        settings: what all samples share, shown as a table.
    """
    blocks = [facts(settings.items())]
    for number, (prompt, samples) in enumerate(documents):
        given = f'<div class="prompt">{figures(prompt)}</div>' if prompt else '<p class="note">no prompt</p>'
        cells = [f'<div class="card">{_sample(number, pieces)}</div>' for number, pieces in enumerate(samples)]
        blocks.append(section(f"Prompt {number}", given + "\n" + grid(cells, _width(samples))))
    return page(title, "\n".join(blocks))


def _sample(number: int, pieces: Sequence[Piece]) -> str:
    shown = figures(pieces) if pieces else "<p><em>nothing was generated</em></p>"
    return f'<div class="note">sample {number}</div>{shown}'


def _width(samples: Sequence[Sequence[Piece]]) -> float:
    """The width of a cell in rem: narrow for a single image each."""
    alone = all(len(pieces) == 1 and kind(pieces[0].file) == "image" for pieces in samples)
    return 8.25 if alone else 16


def as_markdown(documents: Sequence[Continued], title: str, settings: Mapping[str, Any]) -> str:
    """The documents as Markdown, to be saved beside the files that it links to."""
    lines = [f"# {title}", "", *(f"    {name}: {value}" for name, value in settings.items())]
    for number, (prompt, samples) in enumerate(documents):
        lines += ["", f"## Prompt {number}"]
        lines += [line for piece in prompt for line in _lines(piece)]
        for k, pieces in enumerate(samples):
            lines += ["", f"### Sample {k}"]
            lines += [line for piece in pieces for line in _lines(piece)]
    return "\n".join(lines) + "\n"


def _lines(piece: Piece) -> list[str]:
    lines = ["", f"{piece.modality}{' (prompt)' if piece.prompt else ''}:", ""]
    if kind(piece.file) == "text":
        text = piece.file.read_text(encoding="utf-8").removesuffix("\n")
        return lines + [f"    {line}" for line in text.split("\n")]  # a code block: the text may look like Markdown
    prefix = "!" if kind(piece.file) == "image" else ""
    return [*lines, f"{prefix}[{piece.file.name}]({piece.file.name})"]
