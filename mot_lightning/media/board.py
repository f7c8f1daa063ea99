"""A board of pictures: cells of one or more pictures beside each other, each cell under its caption."""

from collections.abc import Sequence
from typing import Any

import PIL.Image
from matplotlib.figure import Figure

from mot_lightning.media.captions import families, fit

WIDTH, GAP = 1.4, 0.1  # of a picture and between pictures, in inches
LINE = 0.15  # height of a line, in inches
LINES = 5  # of a caption, at most
TENSORBOARD_COLUMNS = 4  # pictures across a figure in TensorBoard, which shrinks it to 345 pixels


def board(captions: Sequence[str], cells: Sequence[Sequence[tuple[str, PIL.Image.Image]]], across: int = 10) -> Figure:
    """A figure of all cells, in rows.

    Args:
        captions: of each cell; never read as mathematics.
        cells: a label, such as "real", and a picture, for each picture of each cell.
        across: how many pictures fit in a row.
    """
    most = max([1, *map(len, cells)])
    columns = max(1, min(across // most, len(cells)))
    titles = [fit(caption, 18 * most, LINES) for caption in captions]
    above = LINE * max(title.count("\n") + 1 for title in titles) + GAP
    below = LINE + GAP if any(label for cell in cells for label, _ in cell) else GAP
    tallest = WIDTH * max((picture.height / picture.width for cell in cells for _, picture in cell), default=0)
    wide, high = (WIDTH + GAP) * most, above + tallest + below
    total = wide * columns, high * -(-len(cells) // columns)
    figure = Figure(figsize=total, dpi=100)
    style: dict[str, Any] = {"fontfamily": families(), "parse_math": False, "usetex": False, "ha": "center"}
    for i, (title, cell) in enumerate(zip(titles, cells, strict=True)):
        left, top = wide * (i % columns) + GAP / 2, total[1] - high * (i // columns) - above
        center = left + (wide - GAP) / 2
        figure.text(center / total[0], (top + GAP / 2) / total[1], title, fontsize=8, va="bottom", **style)
        for k, (label, picture) in enumerate(cell):
            start, height = left + k * (WIDTH + GAP), WIDTH * picture.height / picture.width
            bottom = top - height
            axes = figure.add_axes((start / total[0], bottom / total[1], WIDTH / total[0], height / total[1]))
            axes.axis("off")
            axes.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest", aspect="auto")
            x, y = (start + WIDTH / 2) / total[0], (bottom - GAP / 3) / total[1]
            figure.text(x, y, label, fontsize=7, color="#555", va="top", **style)
    return figure
