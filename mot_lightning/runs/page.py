"""The page of a run, `index.html`: results, curves, samples beside real media, costs and the config, in one file.

Reads only files of the run's folder, so that it can be written again at any time; a part whose file is missing is left
out.
"""

import html
import json
import re
from pathlib import Path
from typing import Any

from mot_lightning.media.html import facts, figure, grid, kind, page, section, table
from mot_lightning.runs.atomic import write_text
from mot_lightning.runs.curves import draw, read_curves
from mot_lightning.runs.examples import Example, Examples, last_examples

TABLES = "tables.json"  # the rows of the printed tables
WIDE = 26  # rem of a curve


def write_page(folder: Path) -> Path:
    """Write `index.html` of a run's folder; returns its path."""
    metrics = _read(folder / "metrics.json") or {}
    parts = [
        _summary(metrics),
        section("Results", _results(folder, metrics)),
        section("Curves", _curves(folder / "metrics.csv")),
        section("Samples", "\n".join(task_examples(task) for task in last_examples(folder / "samples"))),
        section("Costs", _costs(metrics)),
        section("Config", _config(folder / "config.yaml")),
    ]
    path = folder / "index.html"
    write_text(path, page(f"{folder.resolve().parent.name}/{folder.name}", "\n".join(parts)))
    return path


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def _summary(metrics: dict[str, float]) -> str:
    sentences = {
        "fit/steps": "{:,} steps",
        "fit/seconds": "{:,.0f} s of training",
        "fit/peak_rss_mb": "{:,.0f} MB peak memory",
        "model/parameters": "{:,} parameters",
    }
    known = [sentence.format(metrics[name]) for name, sentence in sentences.items() if name in metrics]
    return f'<p class="note">{", ".join(known) or "not tested yet"}</p>'


def _results(folder: Path, metrics: dict[str, float]) -> str:
    """The printed tables or, of a run that prints none, every figure of its test."""
    if tables := _read(folder / TABLES):
        return "\n".join(table(rows) for rows in tables)
    tested = [(name.removeprefix("test/"), f"{x:,.4g}") for name, x in metrics.items() if name.startswith("test/")]
    return table([("quantity", "value"), *tested]) if tested else ""


def _curves(path: Path) -> str:
    """Losses, and all else, folded up where there is much of it."""
    curves = read_curves(path) if path.is_file() else []
    first = [curve for curve in curves if curve.quantity == "loss" or len(curves) <= 4]
    rest = [draw(curve) for curve in curves if curve not in first]
    more = f"<details><summary>More curves</summary>\n{grid(rest, WIDE)}\n</details>" if rest else ""
    return (grid(map(draw, first), WIDE) if first else "") + more


def task_examples(task: Examples) -> str:
    """The examples of a task under its title."""
    cells = [_example(example, *task.roles) for example in task.examples]
    pictures = any(kind(example.generated) == "image" for example in task.examples)
    note = f'<p class="note">{html.escape(task.note)}</p>\n' if task.note else ""
    return f"<h3>{html.escape(task.title)}, step {task.step}</h3>\n{note}{grid(cells, 15.5 if pictures else 17)}"


def _example(example: Example, generated: str, real: str) -> str:
    given = "".join(map(figure, example.prompt)) or f"<p>{html.escape(example.caption)}</p>"
    shown = figure(example.generated, generated) + (figure(example.real, real) if example.real else "")
    # an image leaves room for words at its side
    beside = any(kind(path) == "image" for path in example.prompt) and kind(example.generated) == "text"
    style = "card beside" if beside else "card"
    return f'<div class="{style}"><div class="prompt row">{given}</div><div class="row">{shown}</div></div>'


def _costs(metrics: dict[str, float]) -> str:
    """What each modality costs in a table, then what the whole run took."""
    by_modality: dict[str, dict[str, float]] = {}
    for name, value in metrics.items():
        if match := re.fullmatch(r"model/(.+)/([^/]+)", name):
            by_modality.setdefault(match[1], {})[match[2]] = value
    columns = list(dict.fromkeys(quantity for costs in by_modality.values() for quantity in costs))
    rows = [["modality", *(column.replace("_", " ") for column in columns)]]
    for modality, costs in by_modality.items():
        rows.append([modality, *(f"{costs[column]:,}" if column in costs else "" for column in columns)])
    whole = {"model/parameters": "parameters in all", "fit/steps": "steps", "fit/seconds": "seconds of training"}
    whole["fit/peak_rss_mb"] = "peak memory, MB"
    taken = [(label, f"{metrics[name]:,}") for name, label in whole.items() if name in metrics]
    return (table(rows) if by_modality else "") + (facts(taken) if taken else "")


def _config(path: Path) -> str:
    if not path.is_file():
        return ""
    text = html.escape(path.read_text(encoding="utf-8"))
    return f"<details><summary>{path.name}</summary>\n<pre>{text}</pre>\n</details>"
