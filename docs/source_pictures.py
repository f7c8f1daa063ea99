"""The picture of docs/guide/own_data.md: a record of each source, and the document that it becomes.

    python docs/source_pictures.py

The sources read real files, made for them in a temporary folder from the digits that ship with the package.
"""

import csv
import io
import tarfile
import tempfile
import textwrap
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import PIL.Image
import soundfile
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle
from pictures import COLOURS, GREY, INK, save
from torchvision.datasets import ImageFolder

from datamodules.columns import AudioColumn, Column, ImageColumn, TextColumn
from datamodules.digits.captions import WORDS
from datamodules.digits.sources import SAMPLE_RATE, sklearn_digits, synthesised
from datamodules.sources import (
    Docstrings,
    Folder,
    HuggingFace,
    Source,
    Table,
    TextFile,
    TinyShakespeare,
    TorchDataset,
    WebDataset,
)

WIDTH, HEIGHT = 10.2, 1.06  # inches of a row
CELL = 34  # characters that are shown of a value
IMAGE, SPEECH = ImageColumn("image", (1, 8, 8)), AudioColumn("audio", SAMPLE_RATE, 2.0)
LABEL = TextColumn(None, ["the digit {label}"])


def files(folder: Path) -> None:
    """A picture and a sound of each digit from 0 to 2, by its name."""
    images, sounds = sklearn_digits()["train"], synthesised()["train"]
    for digit, name in enumerate(WORDS[:3]):
        (folder / name).mkdir(parents=True)
        pixels = (255 * images.media[images.of(digit)[0]][0].numpy()).astype("uint8")
        PIL.Image.fromarray(pixels).save(folder / name / "0001.png")
        soundfile.write(folder / name / "0001.wav", sounds.media[sounds.of(digit)[0]].numpy(), SAMPLE_RATE)


def table(root: Path) -> Table:
    with (root / "digits.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["image", "audio", "caption"])
        rows.writerows([f"{name}/0001.png", f"{name}/0001.wav", f"a handwritten {name}"] for name in WORDS[:3])
    return Table(root / "digits.csv", files={"image": "files", "audio": "files"})


def web_dataset(root: Path) -> WebDataset:
    with tarfile.open(root / "digits-000.tar", "w") as shard:
        for name in WORDS[:3]:
            for member in ("png", "wav", "txt"):
                file = root / "files" / name / f"0001.{member}"
                content = f"this is {name}".encode() if member == "txt" else file.read_bytes()
                entry = tarfile.TarInfo(f"{name}.{member}")
                entry.size = len(content)
                shard.addfile(entry, io.BytesIO(content))
    return WebDataset(root / "digits-000.tar")


def hugging_face(root: Path) -> HuggingFace:
    rows = [
        {"image": {"bytes": (root / "files" / name / "0001.png").read_bytes(), "path": None}, "label": i}
        for i, name in enumerate(WORDS[:3])
    ]
    features = datasets.Features(image=datasets.Image(), label=datasets.ClassLabel(names=WORDS[:3]))
    datasets.Dataset.from_list(rows, features=features).save_to_disk(root / "saved")
    return HuggingFace(root / "saved")


def image_folder(root: Path) -> ImageFolder:
    return ImageFolder(str(root), loader=PIL.Image.open, is_valid_file=lambda path: path.endswith("png"))


def examples(root: Path) -> list[tuple[str, str, Source, dict[str, Column]]]:
    """A source, what it reads, and the columns of its document in order."""
    files(root / "files")
    (root / "notes.txt").write_text("Each modality has its own weights.\n\nAttention is global.\n")
    captioned = {"text": TextColumn("caption"), "image": IMAGE, "speech": SPEECH}
    labelled = {"text": LABEL, "image": IMAGE, "speech": SPEECH}
    members = {
        "image": ImageColumn("png", IMAGE.shape),
        "text": TextColumn("txt"),
        "speech": AudioColumn("wav", SAMPLE_RATE),
    }
    pair = {"image": IMAGE, "text": LABEL}
    return [
        ("Table", "digits.csv and the files it names", table(root), captioned),
        ("Folder", "two/0001.png, two/0001.wav, ...", Folder(root / "files"), labelled),
        ("WebDataset", "digits-000.tar", web_dataset(root), members),
        ("HuggingFace", "a saved data set", hugging_face(root), pair),
        ("TorchDataset", "torchvision.datasets.ImageFolder", TorchDataset(image_folder(root / "files")), pair),
        ("TextFile", "notes.txt", TextFile(root / "notes.txt"), {"text": TextColumn()}),
        ("TinyShakespeare", "ships with the package", TinyShakespeare(), {"text": TextColumn()}),
        ("Docstrings", "of installed packages", Docstrings(("json",)), {"text": TextColumn()}),
    ]  # fmt: skip


def shortened(value: Any, root: Path) -> str:
    if isinstance(value, str):
        text = " ".join(value.split())
    elif isinstance(value, Path):
        text = str(value.relative_to(root))
    elif isinstance(value, PIL.Image.Image):
        text = f"image, {value.width} x {value.height}"
    elif hasattr(value, "read"):
        text = f"{len(value.read()):,} bytes"
    else:
        text = str(value)
    return text if len(text) <= CELL else text[: CELL - 3] + "..."


class Canvas:
    """A figure in inches from its upper left corner."""

    def __init__(self, height: float) -> None:
        self.figure, self.height = Figure(figsize=(WIDTH, height)), height
        self.axes = self.axes_at(0, 0, WIDTH, height)
        self.axes.set(xlim=(0, WIDTH), ylim=(height, 0))

    def axes_at(self, x: float, y: float, width: float, height: float) -> Any:
        bottom = (self.height - y - height) / self.height
        axes = self.figure.add_axes((x / WIDTH, bottom, width / WIDTH, height / self.height))
        axes.axis("off")
        return axes

    def write(self, x: float, y: float, text: str, **style: Any) -> None:
        self.axes.text(x, y, text, **{"va": "center", "size": 8.6, "color": INK, "parse_math": False, **style})

    def medium(self, name: str, medium: Any, x: float, y: float, width: float) -> None:
        """A medium in a box in the colour of its modality."""
        colour, height = COLOURS[name], 0.66
        self.axes.add_patch(Rectangle((x, y), width, height, fc=colour + "14", ec=colour, lw=1.2))
        self.axes.add_patch(Rectangle((x, y), width, 0.07, fc=colour, ec=colour, lw=1.2))
        if name == "text":
            lines = textwrap.wrap(medium, round(width * 15), max_lines=3, placeholder="...")
            for i, line in enumerate(lines):
                self.write(x + 0.09, y + 0.37 + 0.17 * (i - (len(lines) - 1) / 2), line, size=8.2)
            return
        axes = self.axes_at(x + 0.06, y + 0.11, width - 0.12, height - 0.16)
        if name == "image":
            axes.imshow(medium[0].numpy(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        else:
            axes.plot(medium.numpy(), color=colour, lw=0.5)
            axes.set(ylim=(-1, 1), xlim=(0, len(medium)))


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder).resolve()
        rows = examples(root)
        canvas = Canvas(HEIGHT * len(rows) + 0.45)
        for x, head in ((0.15, "source"), (2.15, "a record: its columns"), (6.05, "a document: its segments")):
            canvas.write(x, 0.22, head, color=GREY, weight="bold")
        for i, (name, reads, source, columns) in enumerate(rows):
            source.setup()
            record, y = source.record(len(source) - 1 if len(source) == 3 else 0), 0.45 + HEIGHT * i
            canvas.axes.plot([0.15, WIDTH - 0.15], [y, y], color="#d5d9df", lw=0.8)
            canvas.write(0.15, y + 0.36, name, weight="bold", size=10)
            canvas.write(0.15, y + 0.6, reads, color=GREY, size=7.4)
            cells = [(column, value) for column, value in record.items() if value is not None and column[0] != "_"]
            for k, (column, value) in enumerate(cells):
                line = y + 0.5 + 0.2 * (k - (len(cells) - 1) / 2)
                canvas.write(2.15, line, f"{column}:", color=GREY, size=8.2)
                canvas.write(2.8, line, shortened(value, root), size=8.2, family="monospace")
            arrow = {"arrowstyle": "-|>", "mutation_scale": 11, "color": GREY, "lw": 1.2}
            canvas.axes.add_patch(FancyArrowPatch((5.6, y + 0.5), (5.95, y + 0.5), **arrow))
            widths = np.array([{"text": 1.5, "image": 0.66, "speech": 1.5}[one] for one in columns])
            if len(columns) == 1:
                widths[:] = 3.9
            starts = 6.05 + np.cumsum(widths + 0.08) - widths
            for (modality, column), x, width in zip(columns.items(), starts, widths, strict=True):
                canvas.medium(modality, column.decode(column.values(record)[0]), x, y + 0.17, width)
        save(canvas.figure, "sources.png")


if __name__ == "__main__":
    main()
