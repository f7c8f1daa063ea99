"""The pictures of the README and the docs, made anew from a run folder and a folder of `generate`.

    python -m mot_lightning fit --trainer.val_check_interval=250 --samples.prompts=10
    python -m mot_lightning generate --ckpt_path runs/default/0 \
        --prompt "a handwritten seven" --modalities image --num_samples 6
    python docs/pictures.py runs/default/0 runs/default/0/generated/0

Without arguments it draws only the diagram. Screenshots need Chromium.
"""

import html
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import PIL.Image
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

from datamodules.digits import Digits
from datamodules.digits.captions import WORDS, named_digit
from mot_lightning.evaluation.table import table

OUT = Path(__file__).parent / "pictures"
COLOURS = {"text": "#3b6fb6", "image": "#d9822b", "speech": "#3d9a68"}
GREY, INK = "#6b7280", "#1f2933"
RIGHT, WRONG = "#2f7d4f", "#b3382c"
SHOWN = (250, 500, 1000)  # steps whose samples are shown, beside the last


def save(figure: Figure, name: str) -> None:
    figure.savefig(OUT / name, dpi=110, facecolor="white", pil_kwargs={"optimize": True})


def boxed(axes, x, y, width, height, text, colour, size=9.5, fill="18", weight="normal"):
    style = "round,pad=0,rounding_size=0.12"
    axes.add_patch(FancyBboxPatch((x, y), width, height, style, fc=colour + fill, ec=colour, lw=1.3))
    axes.text(x + width / 2, y + height / 2, text, ha="center", va="center", size=size, color=INK, weight=weight)


def squares(axes, names, x, y, size=0.3):
    """The tokens of a sequence: filled for media, outlined for control tokens."""
    for i, name in enumerate(names):
        control = name.endswith("*")
        colour = COLOURS[name.rstrip("*")]
        place = (x + i * (size + 0.07), y)
        axes.add_patch(Rectangle(place, size, size, fc="white" if control else colour, ec=colour, lw=1.5))


def arrows(axes, points, low, high, colour=GREY):
    for x in points:
        axes.add_patch(FancyArrowPatch((x, high), (x, low), arrowstyle="-|>", mutation_scale=11, color=colour, lw=1.2))


def token_walk() -> None:
    """A token's walk: interleaved sequence -> towers -> one attention -> towers -> objectives."""
    document = ["text*", *["text"] * 5, "text*", *["image"] * 6, "text*", *["speech"] * 5, "text*"]
    figure = Figure(figsize=(9.2, 6.6))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, 13.4), ylim=(0, 9.6))
    axes.axis("off")
    left, width = 3.75, 9.0
    step = 0.37
    start = left + (width - len(document) * step) / 2
    lanes = {"text": left, "image": left + 3.1, "speech": left + 6.2}
    middles = [x + 1.4 for x in lanes.values()]

    def said(y, number, title, *lines):
        axes.text(0.25, y, f"{number}  {title}", size=10.5, weight="bold", color=INK, va="center")
        for i, line in enumerate(lines):
            axes.text(0.25, y - 0.33 * (i + 1), line, size=8.6, color=GREY, va="center")

    said(
        8.85, 1, "One sequence", "codecs turn media into tokens;", "control tokens (outlined)", "begin and end segments"
    )
    squares(axes, document, start, 8.45)
    for name, first, last in (("text: bytes", 1, 5), ("image: patches", 7, 12), ("speech: units", 14, 18)):
        middle = start + (first + last + 1) / 2 * step - 0.03
        axes.text(middle, 9.08, name, ha="center", size=9.5, color=COLOURS[name.split(":")[0]], weight="bold")

    said(6.95, 2, "Towers", "each modality has its own", "norms and Q, K, V")
    for name, x in lanes.items():
        boxed(axes, x, 6.45, 2.8, 0.85, "norm, Q, K, V", COLOURS[name])
        axes.text(x + 0.12, 7.42, name, size=8.6, color=COLOURS[name], weight="bold")
    arrows(axes, middles, 7.4, 8.3)

    said(
        5.2, 3, "One attention", "over the whole sequence:", "text and speech look back,", "an image sees all of itself"
    )
    boxed(axes, left, 4.3, width, 1.25, "", GREY, fill="14")
    axes.text(left + width / 2, 5.27, "global self-attention", ha="center", va="center", size=9.5, color=INK)
    squares(axes, document, start, 4.58)
    arrows(axes, middles, 5.57, 6.42)

    said(3.25, 4, "Towers", "own output projection", "and feed-forward network")
    for name, x in lanes.items():
        boxed(axes, x, 2.65, 2.8, 0.85, "O, norm, feed-forward", COLOURS[name])
    arrows(axes, middles, 3.53, 4.27)

    right = left + width + 0.18
    axes.plot([right, right + 0.14, right + 0.14, right], [2.65, 2.65, 7.3, 7.3], color=GREY, lw=1.3)
    axes.text(right + 0.32, 5.0, "depth times", rotation=270, size=9, color=GREY, va="center", ha="center")

    said(1.25, 5, "Objectives", "each modality has its own", "loss and sampler")
    losses = {
        "text": "NextToken\ncross-entropy",
        "image": "FlowMatching\nerror of the velocity",
        "speech": "NextToken\ncross-entropy",
    }
    for name, x in lanes.items():
        boxed(axes, x, 0.55, 2.8, 1.05, losses[name], COLOURS[name], fill="30")
    arrows(axes, middles, 1.63, 2.62)
    save(figure, "token_walk.png")


def steps_of(samples: Path) -> list[tuple[int, dict[str, list[dict]]]]:
    """The examples of each step, by title of their task."""
    return [
        (tasks[0]["step"], {task["title"]: task["examples"] for task in tasks})
        for file in sorted(samples.glob("step_*/examples.json"))
        if (tasks := json.loads(file.read_text(encoding="utf-8")))
    ]


def samples_over_steps(run: Path) -> None:
    """Digits made from captions and captions read from digits, a row for each validation."""
    samples = run / "samples"
    steps = steps_of(samples)
    steps = [entry for entry in steps[:-1] if entry[0] in SHOWN] + steps[-1:]
    made, read = (steps[-1][1][title] for title in ("text -> image", "image -> text"))
    columns, rows = len(made), len(steps) + 1
    figure = Figure(figsize=(9.2, 0.62 * rows + 0.34 * (len(steps) + 1) + 1.75))
    width, height = figure.get_size_inches()
    cell, margin = (width - 1.35) / columns, 1.25
    y = height - 0.3

    def write(x, y, text, **style):
        figure.text(x / width, y / height, text, va="center", **{"size": 9, "color": INK, **style})

    def picture(file, x, y, size=0.56):
        with PIL.Image.open(file) as image:
            pixels = np.asarray(image.convert("L"))
        axes = figure.add_axes(((x - size / 2) / width, (y - size / 2) / height, size / width, size / height))
        axes.imshow(pixels, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axes.axis("off")

    centers = [margin + cell * (i + 0.5) for i in range(columns)]
    write(0.15, y, "Made: an image from a caption, such as “a handwritten two”", weight="bold", size=10)
    y -= 0.3
    for x, word in zip(centers, WORDS, strict=False):
        write(x, y, word, ha="center", color=GREY)
    y -= 0.42
    for step, tasks in steps:
        write(0.15, y, f"step {step:,}")
        for x, example in zip(centers, tasks["text -> image"], strict=True):
            picture(samples / example["generated"], x, y)
        y -= 0.62
    write(0.15, y, "real", color=GREY)
    for x, example in zip(centers, made, strict=True):
        picture(samples / example["real"], x, y)
    y -= 0.62
    write(0.15, y, "Read: the digit that the caption of an image names", weight="bold", size=10)
    y -= 0.5
    write(0.15, y, "image", color=GREY)
    for x, example in zip(centers, read, strict=True):
        picture(samples / example["prompt"][0], x, y)
    y -= 0.5
    for step, tasks in steps:
        write(0.15, y, f"step {step:,}")
        for digit, (x, example) in enumerate(zip(centers, tasks["image -> text"], strict=True)):
            named = named_digit((samples / example["generated"]).read_text(encoding="utf-8"))
            word = WORDS[named] if named >= 0 else "none"
            right = named == digit
            write(x, y, word, ha="center", color=RIGHT if right else WRONG, weight="bold" if right else "normal")
        y -= 0.34
    save(figure, "samples_over_steps.png")


def screenshot(page: Path, name: str, width: int, height: int) -> None:
    """A page in a headless Chromium, with few enough colours for a small file."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        print(f"{name} is left as it is: Chromium is not installed")
        return
    with tempfile.TemporaryDirectory() as profile:
        file = Path(profile) / "page.png"
        subprocess.run(
            [
                chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
                "--blink-settings=preferredColorScheme=1", f"--user-data-dir={profile}/user",
                f"--window-size={width},{height}", f"--screenshot={file}", page.resolve().as_uri(),
            ],
            check=True,
            capture_output=True,
            timeout=120,
        )  # fmt: skip
        with PIL.Image.open(file) as image:
            image.convert("RGB").quantize(128).save(OUT / name, optimize=True)


def terminal(run: Path) -> None:
    """What `fit` prints at its end, as a terminal shows it."""
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    data = Digits()
    data.setup("test")
    text = table(metrics, ["image", "speech", "text"], data.tasks("test"))
    style = "margin:0;padding:18px 22px;background:#1b1f27;color:#dde3ea;font:14px/1.45 'DejaVu Sans Mono',monospace"
    lines = f"$ python -m mot_lightning fit\n...\n{text}\n"
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "terminal.html"
        page.write_text(
            f'<meta charset="utf-8"><body style="margin:0;background:#1b1f27"><pre style="{style}">'
            f"{html.escape(lines)}</pre>",
            encoding="utf-8",
        )
        screenshot(page, "terminal.png", 800, 36 + 20 * lines.count("\n"))


def main() -> None:
    OUT.mkdir(exist_ok=True)
    token_walk()
    shutil.copyfile(OUT.parents[1] / "benchmarks/results/2026-11-25_cpu_growth.png", OUT / "growth.png")
    if len(sys.argv) == 3:
        run, generated = map(Path, sys.argv[1:])
        samples_over_steps(run)
        terminal(run)
        screenshot(run / "index.html", "run_page.png", 1000, 1575)
        screenshot(generated / "index.html", "generate_page.png", 1000, 500)


if __name__ == "__main__":
    main()
