"""The evaluation card: rows and provenance as JSON, Markdown and a page."""

import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mot_lightning.evaluation.rows import Row, notes, tables
from mot_lightning.media.html import facts, grid, page, section, table
from mot_lightning.media.table import aligned
from mot_lightning.runs.atomic import write_json, write_text
from mot_lightning.runs.examples import Examples
from mot_lightning.runs.page import WIDE, task_examples

METHOD = (
    "Intervals are of 95 %: of losses by the percentiles of 1,000 bootstrap samples of documents, of metrics by 1.96 "
    "standard errors, over bootstrap samples of media, or of accuracies by Agresti and Coull. They say how far a value "
    "would move with other samples of the same data, not with another training. Losses by time and given another "
    "modality are of the first 1,000 documents, and those of latents are means over 8 passes with other noise."
)
HEADINGS = {
    "losses": "Losses",
    "sources": "Losses by source",
    "conditional": "Losses given another modality",
    "times": "Losses by time, from data (0) to noise (1)",
    "codecs": "Media after their codec",
    "tasks": "Tasks",
}
BRIEF = ("losses", "tasks")  # of the summary


def write_card(
    folder: Path,
    title: str,
    rows: Sequence[Row],
    origin: Mapping[str, Any],
    examples: Sequence[Examples] = (),
    curves: Sequence[str] = (),
) -> Path:
    """Write `card.json`, `card.md` and `index.html`; returns the page.

    Args:
        origin: what made the rows, as plain values (`provenance`).
        curves: SVG elements.

    Raises:
        NotWritten: the system refused a write.
    """
    write_json(folder / "card.json", {"title": title, "rows": [row.record() for row in rows], **origin}, indent=2)
    parts = [f"# {title}", f"`{origin['command']}`"]
    for name, cells in tables(rows).items():
        parts += [f"## {HEADINGS.get(name, name)}", _markdown(cells)]
    listed = notes(rows)
    parts += ["\n".join(f"- {_plain(note)}" for note in listed)] if listed else []
    shown = {name: value for name, value in origin.items() if name not in ("config", "command")}
    parts += [METHOD, "## Made by", "\n".join(f"- {name}: {_plain(_text(value))}" for name, value in shown.items())]
    write_text(folder / "card.md", "\n\n".join(parts) + "\n")
    marks = "".join(f"<li>{html.escape(note)}</li>" for note in listed)
    config = html.escape(json.dumps(origin["config"], indent=1))
    body = [
        *(section(HEADINGS.get(name, name), table(cells)) for name, cells in tables(rows).items()),
        section("Notes", f'<ul>{marks}</ul><p class="note">{METHOD}</p>'),
        section("Curves", grid(curves, WIDE) if curves else ""),
        section("Samples", "\n".join(map(task_examples, examples))),
        section("Made by", facts((name, _text(value)) for name, value in shown.items())),
        f"<pre>{html.escape(origin['command'])}</pre>",
        f"<details><summary>config</summary>\n<pre>{config}</pre>\n</details>",
    ]
    write_text(folder / "index.html", page(title, "\n".join(body)))
    return folder / "index.html"


def summary(rows: Sequence[Row]) -> list[str]:
    """Lines for a terminal: losses, tasks and notes, and which tables are in the card alone."""
    lines = [line for name, cells in tables(rows).items() if name in BRIEF for line in aligned(cells)]
    lines += [f"- {note}" for note in notes(rows)]
    others = [HEADINGS.get(name, name).lower() for name in tables(rows) if name not in BRIEF]
    return [*lines, f"- also in the card: {'; '.join(others)}"] if others else lines


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    head, *body = (f"| {' | '.join(map(_plain, row))} |" for row in rows)
    return "\n".join([head, "|" + "---|" * len(rows[0]), *body])


def _plain(cell: str) -> str:
    return cell.replace("|", "\\|").replace("\n", " ")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
