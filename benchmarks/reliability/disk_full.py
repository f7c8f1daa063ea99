"""A disk that fills up at 22 points of a run: checkpoints survive, one line names what could not be written.

    python benchmarks/reliability/disk_full.py [--count 22] [--quick]

Only a checkpoint, or the config at the start, ends the run; the rest is said, and the training goes on.
"""

from pathlib import Path

from common import RUN, begin, finish, loadable, quiet_run
from full_disk import full_disk

POINTS = (  # pattern, files before, writes before, what the line names, exit code
    ("*/.config.yaml.*", 0, 0, "config.yaml", 2),
    ("*/.best.ckpt.*", 0, 0, "best.ckpt", 1),
    ("*/.best.ckpt.*", 1, 0, "best.ckpt", 1),
    ("*/.best.ckpt.*", 1, 40, "best.ckpt", 1),
    ("*/.last.ckpt.*", 0, 0, "last.ckpt", 1),
    ("*/.last.ckpt.*", 0, 70, "last.ckpt", 1),
    ("*/.last.ckpt.*", 1, 20, "last.ckpt", 1),
    ("*/.last.ckpt.*", 2, 70, "last.ckpt", 1),
    ("*/.metrics.csv.*", 0, 0, "CSVMetricsLogger", 0),
    ("*/.metrics.csv.*", 1, 0, "CSVMetricsLogger", 0),
    ("*/metrics.csv", 0, 0, "CSVMetricsLogger", 0),
    ("*/tensorboard/events*", 0, 0, "TensorBoardLogger", 0),
    ("*/tensorboard/events*", 3, 0, "TensorBoardLogger", 0),
    ("*/tensorboard/hparams.yaml", 0, 0, "TensorBoardLogger", 0),
    ("*/samples/prompts/*.txt", 0, 0, "samples/", 0),
    ("*/samples/*/*.wav", 0, 0, "samples/", 0),
    ("*/samples/step_*/*_00.png", 0, 0, "samples/", 0),
    ("*/samples/step_*/*image.png", 0, 0, "samples/", 0),
    ("*/samples/step_*/.examples.json.*", 0, 0, "examples.json", 0),
    ("*/.index.html.*", 0, 0, "index.html", 0),
    ("*/.tables.json.*", 0, 0, "tables.json", 0),
    ("*/.metrics.json.*", 0, 0, "metrics.json", 0),
)


def faults(folder: Path, code: int, message: str, point: tuple[str, int, int, str, int]) -> list[str]:
    """What is wrong with the outcome of a point."""
    _, _, _, name, expected = point
    lines = [line for line in message.splitlines() if line]
    checkpoints = [*folder.glob("default/*/checkpoints/*.ckpt")]
    wrong = [f"exit code {code}, wanted {expected}"] * (code != expected)
    wrong += [f"said nothing of {name}"] * (not any(name in line for line in lines))
    wrong += ["a traceback"] * ("Traceback" in message)
    wrong += [f"{len(lines)} lines"] * (bool(code) and len(lines) > 1)
    wrong += [f"{path.name} does not load" for path in checkpoints if not loadable(path)]
    wrong += ["no checkpoint"] * (not checkpoints and name not in ("config.yaml", "best.ckpt"))
    return wrong + [f"{path.name} is left" for path in folder.glob("default/*/**/.*")]


with begin(__doc__, count=len(POINTS), quick=3) as (trials, folder):
    counts = {"as promised": 0}
    failures: list[str] = []
    for number, point in enumerate(POINTS[:: max(1, len(POINTS) // trials)][:trials]):
        with full_disk(*point[:3]) as written:
            code, message = quiet_run(folder / str(number), "fit", *RUN)
        wrong = faults(folder / str(number), code, message, point) if len(written) > point[1] else ["was not reached"]
        counts["as promised"] += not wrong
        if wrong:
            failures.append(f"{point[0]} after {point[1]} files and {point[2]} writes: {', '.join(wrong)}\n{message}")
    finish(trials, counts, failures)
