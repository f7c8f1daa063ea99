"""The files of a comparison: Markdown, CSV, pictures and a page."""

import csv
import html
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from mot_lightning.analysis.compare import plots, tables
from mot_lightning.analysis.compare.comparison import Comparison
from mot_lightning.analysis.compare.laws import laws
from mot_lightning.media.html import figure, page, section, table
from mot_lightning.runs.atomic import replacing, write_text

Rows = Sequence[Sequence[str]]


def write(
    comparison: Comparison, folder: Path, title: str, command: str, before: Mapping[str, Rows] | None = None
) -> Path:
    """Write `comparison.md`, `comparison.csv`, the pictures and `index.html`; returns the page.

    Args:
        before: tables that stand before all else, by their headings.

    Raises:
        NotWritten: the system refused a write.
    """
    fitted = laws(comparison)
    pictures = {
        "Shares": plots.shares(comparison),
        "Losses": plots.losses(comparison),
        "Steps at equal loss": plots.matched(comparison),
    }
    if fitted:
        pictures["Losses over FLOPs"] = plots.scaling(comparison, fitted)
    files = {}
    for heading, picture in pictures.items():
        files[heading] = folder / f"{heading.lower().replace(' ', '_')}.png"
        with replacing(files[heading]) as file:
            picture.savefig(file, format="png")
    rows, flags = tables.rows_of(comparison), tables.flags_of(comparison)
    text = io.StringIO(newline="")
    csv.writer(text).writerows(tables.records_of(comparison))
    write_text(folder / "comparison.csv", text.getvalue())
    parts = [f"# {title}", f"`{command}`"]
    parts += [f"## {heading}\n\n{tables.markdown(first)}" for heading, first in (before or {}).items()]
    parts += ["## Share of the baseline", tables.markdown(rows), tables.method_of(comparison)]
    parts += ["\n".join(f"- {flag}" for flag in flags)] if flags else []
    parts += [tables.markdown(tables.laws_table(fitted))] if fitted else []
    parts += [f"![{heading}]({file.name})" for heading, file in files.items()]
    write_text(folder / "comparison.md", "\n\n".join(parts) + "\n")
    note = f'<p class="note">{html.escape(tables.method_of(comparison))}</p>'
    listed = "".join(f"<li>{html.escape(flag)}</li>" for flag in flags)
    body = [
        *(section(heading, table(first)) for heading, first in (before or {}).items()),
        section("Share of the baseline", f"{table(rows)}\n{note}"),
        section("What may mislead", f"<ul>{listed}</ul>" if flags else ""),
        *([section("Scaling", table(tables.laws_table(fitted)))] if fitted else []),
        *(section(heading, figure(file)) for heading, file in files.items()),
        f"<pre>{html.escape(command)}</pre>",
    ]
    write_text(folder / "index.html", page(title, "\n".join(body)))
    return folder / "index.html"
