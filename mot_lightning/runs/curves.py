"""Curves of a run: from metrics.csv to SVG that takes the colours of its page."""

import csv
import io
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.figure import Figure

COLUMN = re.compile(r"(train|val)/(?:(.+)/)?([^/]+)")
POINTS = 400  # of a line; more are averaged
# placeholders, replaced by the page's colours: matplotlib knows no CSS variables
COLOURS = {"#010203": "var(--ink)", "#010204": "var(--line)", "#010205": "var(--one)", "#010206": "var(--two)"}
INK, LINE, ONE, TWO = COLOURS


class Curve(NamedTuple):
    """One quantity of one modality: the steps and values of each stage, "train" and "val"."""

    modality: str  # empty for all
    quantity: str
    stages: Mapping[str, tuple[Sequence[float], Sequence[float]]]


def read_curves(path: Path) -> list[Curve]:
    """Losses, then all other quantities in metrics.csv that validation measured, without empty cells or NaN.

    The sum over modalities is left out where there is one modality.
    """
    points: dict[tuple[str, str], dict[str, dict[int, float]]] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            for column, cell in row.items():
                match = COLUMN.fullmatch(column)
                if match and cell and math.isfinite(value := float(cell)):
                    stage, modality, quantity = match[1], match[2] or "", match[3]
                    points.setdefault((modality, quantity), {}).setdefault(stage, {})[int(row["step"])] = value
    several = len({modality for modality, quantity in points if modality and quantity == "loss"}) > 1
    curves = []
    for (modality, quantity), stages in points.items():
        if (modality or several) and ("val" in stages or quantity == "loss"):
            lines = {stage: (sorted(values), [values[k] for k in sorted(values)]) for stage, values in stages.items()}
            curves.append(Curve(modality, quantity, lines))
    return sorted(curves, key=lambda curve: (curve.quantity != "loss", curve.modality, curve.quantity))


def draw(curve: Curve, over: str = "step") -> str:
    """A curve over steps, or over anything else, as an SVG element without links to anything outside."""
    with _style(f"{curve.modality} {curve.quantity}"):
        figure = Figure(figsize=(5, 3), layout="constrained")
        axes = figure.subplots()
        for stage, (steps, values) in curve.stages.items():
            train = stage == "train"
            marker = "o" if len(steps) == 1 or not train else ""
            axes.plot(
                _thinned(steps), _thinned(values), marker=marker, markersize=4, linewidth=1.2 if train else 1.8,
                color=ONE if train else TWO, label=stage,
            )  # fmt: skip
        axes.set_xlabel(over)
        axes.set_ylabel(curve.quantity.replace("_", " "))
        axes.set_title(f"{curve.modality or 'all'}: {curve.quantity.replace('_', ' ')}", fontsize=11)
        axes.grid(linewidth=0.5)
        axes.legend(frameon=False)
        return _svg(figure)


def histogram(values: Sequence[float], quantity: str, unit: str) -> str:
    """How often values are how large, as an SVG element like a curve's.

    Args:
        quantity: what the values are.
        unit: what has one value each.
    """
    with _style(quantity):
        figure = Figure(figsize=(5, 3), layout="constrained")
        axes = figure.subplots()
        axes.hist(values, bins=min(40, 1 + len({*values})), color=ONE)
        axes.set_xlabel(quantity)
        axes.set_ylabel(unit)
        return _svg(figure)


def _style(seed: str) -> Any:
    """Matplotlib's settings for the pictures of a page, in a context; the seed is of names inside the SVG."""
    settings: Any = {
        "svg.fonttype": "none", "svg.hashsalt": seed, "text.color": INK,
        "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK, "axes.edgecolor": LINE, "grid.color": LINE,
        "text.parse_math": False, "text.usetex": False, "axes.unicode_minus": False, "font.size": 10,
        "axes.spines.top": False, "axes.spines.right": False,
    }  # fmt: skip
    return matplotlib.rc_context(settings)


def _svg(figure: Figure) -> str:
    """A figure in the page's colours; HTML knows the names of SVG."""
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    svg = buffer.getvalue()
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"', "", svg[svg.index("<svg") :])
    for placeholder, colour in COLOURS.items():
        svg = svg.replace(placeholder, colour)
    return svg


def _thinned(numbers: Sequence[float]) -> list[float]:
    """At most `POINTS` numbers, each the mean of a stretch of the line."""
    return [float(part.mean()) for part in np.array_split(np.array(numbers), min(POINTS, len(numbers)))]
