"""Parts of a page to look at: its frame, tables, and media embedded in it.

A page is one file: it needs no other file, no network and no script. Knows files by their MIME type (text, image,
audio), not by modality.
"""

import base64
import html
import mimetypes
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

STYLE = """:root{color-scheme:light dark;--ink:#1f2328;--soft:#59636e;--line:#d5dbe1;--paper:#fff;--panel:#f4f6f8;
--one:#0b62c4;--two:#c2410c}
@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--soft:#9aa4af;--line:#343b44;--paper:#0f1318;--panel:#191f26;
--one:#6cb2ff;--two:#ffa05c}}
*{box-sizing:border-box}
body{font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;max-width:68rem;margin:0 auto;
padding:1.5rem 1rem 4rem;color:var(--ink);background:var(--paper)}
h1{font-size:1.6rem;line-height:1.25;margin:.5rem 0 1rem;overflow-wrap:anywhere}
h2{font-size:1.2rem;margin:2.5rem 0 .75rem;padding-bottom:.25rem;border-bottom:1px solid var(--line)}
h3{font-size:1rem;margin:1.5rem 0 .5rem}
p{margin:0;white-space:pre-wrap;overflow-wrap:anywhere}
.wide{overflow-x:auto;margin:.75rem 0}
table{border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums}
th,td{padding:.3rem .75rem;border-bottom:1px solid var(--line);text-align:right;white-space:nowrap}
th{color:var(--soft);font-weight:600}.left{text-align:left}th:first-child,td:first-child{padding-left:0}
dl{display:flex;flex-wrap:wrap;gap:.5rem 2rem;margin:.75rem 0}dt{font-size:.8rem;color:var(--soft)}
dd{margin:0;overflow-wrap:anywhere}
.grid{display:grid;gap:.75rem;grid-template-columns:repeat(auto-fill,minmax(min(var(--cell,15rem),100%),1fr))}
.card{background:var(--panel);border:1px solid var(--line);border-radius:.5rem;padding:.75rem;min-width:0}
.beside{display:flex;flex-wrap:wrap;gap:.25rem 1rem}.beside>.row{flex:1 1 7rem}.beside figure.text{flex-basis:7rem}
.row{display:flex;flex-wrap:wrap;gap:.5rem .75rem}
figure{margin:0;min-width:0}figure.text,figure.audio{flex:1 1 12rem}
figcaption{font-size:.75rem;color:var(--soft)}
img{display:block;image-rendering:pixelated;max-width:100%;border-radius:.25rem}
.card img{width:6.5rem}.card img.plot{width:15rem}audio{width:100%;max-width:20rem;height:2.25rem}
.prompt{border-left:3px solid var(--one);padding-left:.6rem;margin-bottom:.6rem}
svg{width:100%;height:auto}
pre{background:var(--panel);padding:.75rem;border-radius:.5rem;overflow-x:auto;font-size:.8rem}
summary{cursor:pointer;font-weight:600;margin-top:1rem}.note{color:var(--soft);font-size:.9rem}
@media(max-width:36rem){th,td{padding:.25rem .4rem;font-size:.8rem;white-space:normal;overflow-wrap:break-word}}"""


class Piece(NamedTuple):
    """One segment, written to a file."""

    modality: str
    file: Path
    prompt: bool  # given, not generated


def kind(file: Path) -> str:
    """The main MIME type of a file by its suffix: "text", "image", "audio" or another."""
    return (mimetypes.guess_type(file.name)[0] or "application/octet-stream").partition("/")[0]


def page(title: str, body: str) -> str:
    """A whole page.

    Args:
        body: HTML below the heading.
    """
    title = html.escape(title)
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{title}</title>\n'
        f"<style>{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n{body}\n</body>\n</html>\n"
    )


def section(heading: str, body: str) -> str:
    """A part of a page under a heading; empty if the body is."""
    return f"<section>\n<h2>{html.escape(heading)}</h2>\n{body}\n</section>" if body else ""


def grid(cells: Iterable[str], width: float = 15.0) -> str:
    """Cells beside each other, as many as fit.

    Args:
        cells: HTML of each.
        width: minimum width of a cell in rem (the height of a line is 1.5 rem).
    """
    return f'<div class="grid" style="--cell:{width:g}rem">\n' + "\n".join(cells) + "\n</div>"


def table(rows: Sequence[Sequence[Any]]) -> str:
    """A table whose first row is its head; columns of numbers are aligned to the right."""
    left = [not any(re.match(r"-?\d", str(row[i])) for row in rows[1:]) for i in range(len(rows[0]))]

    def line(tag: str, row: Sequence[Any]) -> str:
        cells = zip(left, row, strict=True)
        return "".join(f"<{tag}{' class=left' * words}>{html.escape(str(cell))}</{tag}>" for words, cell in cells)

    body = "\n".join(f"<tr>{line('td', row)}</tr>" for row in rows[1:])
    return (
        f'<div class="wide"><table>\n<thead><tr>{line("th", rows[0])}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody>\n</table></div>"
    )


def facts(pairs: Iterable[tuple[str, Any]]) -> str:
    """Names and values beside each other, as many as fit."""
    cells = "\n".join(
        f"<div><dt>{html.escape(name)}</dt><dd>{html.escape(str(value))}</dd></div>" for name, value in pairs
    )
    return f"<dl>\n{cells}\n</dl>"


def figure(file: Path, caption: str = "") -> str:
    """A file's content, embedded, below a caption.

    A file of another type than text, image and audio is a link, with the picture that lies beside it as FILE.png.
    """
    media_kind = kind(file)
    if media_kind == "text":
        shown = f"<p>{html.escape(file.read_text(encoding='utf-8').removesuffix(chr(10)))}</p>"
    else:
        mime = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        source = f"data:{mime};base64,{base64.b64encode(file.read_bytes()).decode()}"
        name = html.escape(file.name, quote=True)
        shown = {
            "image": f'<img src="{source}" alt="{name}">',
            "audio": f'<audio controls src="{source}"></audio>',
        }.get(media_kind, f'<a download="{name}" href="{source}">{_picture(file) or name}</a>')
    above = f"<figcaption>{html.escape(caption)}</figcaption>" if caption else ""
    return f'<figure class="{media_kind}">{above}{shown}</figure>'


def _picture(file: Path) -> str:
    """The picture beside a file, as HTML; empty if there is none."""
    beside = file.with_name(f"{file.name}.png")
    if not beside.is_file():
        return ""
    content = base64.b64encode(beside.read_bytes()).decode()
    return f'<img class="plot" src="data:image/png;base64,{content}" alt="{html.escape(file.name, quote=True)}">'


def figures(pieces: Iterable[Piece]) -> str:
    """Pieces beside each other, each with its modality as a caption."""
    return '<div class="row">' + "".join(figure(piece.file, piece.modality) for piece in pieces) + "</div>"
